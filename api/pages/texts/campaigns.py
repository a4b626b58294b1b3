"""Words of firmware campaigns."""

from __future__ import annotations

from api.pages.texts.text import Text

CAMPAIGNS: dict[str, Text] = {
    "campaigns.intro": Text(
        "分批升级水表固件：前一批全部有结果且失败不多，才能下发下一批。",
        "Firmware for many meters in waves: the next goes out when the one before is through and few have failed.",
    ),
    "campaigns.state.running": Text("进行中", "running"),
    "campaigns.state.stopped": Text("已停止", "stopped"),
    "campaigns.state.finished": Text("已完成", "finished"),
    "campaigns.wave_of": Text("第 {wave} 批，共 {waves} 批", "wave {wave} of {waves}"),
    "campaigns.progress": Text(
        "{meters} 只水表：{confirmed} 成功，{failed} 失败，{open} 等待",
        "{meters} meters: {confirmed} confirmed, {failed} failed, {open} waiting",
    ),
    "campaigns.started": Text("建立", "Started"),
    "campaigns.stop_rule": Text("停止规则", "Stop rule"),
    "campaigns.rule": Text(
        "失败不少于 {after} 只且超过有结果的 {share} 时停止",
        "stops at {after} failures or more, when they exceed {share} of those that ended",
    ),
    "campaigns.address": Text("下载地址", "Address"),
    "campaigns.size": Text("大小", "Size"),
    "campaigns.why": Text("停止原因", "Why it was stopped"),
    "campaigns.wave": Text("批次", "Wave"),
    "campaigns.meters": Text("水表", "Meters"),
    "campaigns.told": Text("已下发", "Told"),
    "campaigns.confirmed": Text("成功", "Confirmed"),
    "campaigns.failed": Text("失败", "Failed"),
    "campaigns.open": Text("等待", "Waiting"),
    "campaigns.other": Text("过期或撤销", "Expired or called back"),
    "campaigns.next": Text("下发第 {wave} 批", "Send wave {wave}"),
    "campaigns.stop": Text("停止升级", "Stop the campaign"),
    "campaigns.stop_hint": Text(
        "尚未下发的水表不再下发；已下发的可能已经升级。",
        "Meters that were not told yet will not be; those that were told may have updated already.",
    ),
    "campaigns.start": Text("新建升级", "New campaign"),
    "campaigns.start_hint": Text(
        "建立后不会立即下发：请再下发第一批。批次为累计数量或比例，其余为最后一批。",
        "Nobody is told yet: send the first wave then. Waves are cumulative numbers or shares; the rest goes last.",
    ),
    "campaigns.image": Text("固件", "Image"),
    "campaigns.no_image": Text(
        "还没有固件：先用 nbwater campaigns add-image 添加已签名的固件。",
        "There is no image yet: add a signed one with nbwater campaigns add-image.",
    ),
    "campaigns.serials": Text("表号，每行一个", "Serials, one a line"),
    "campaigns.sizes": Text("批次", "Waves"),
    "campaigns.stop_share": Text("失败比例上限（%）", "Failures at most (%)"),
    "campaigns.stop_after": Text("至少失败数", "From this many failures on"),
    "campaigns.empty": Text("还没有升级。", "No campaigns yet."),
}
