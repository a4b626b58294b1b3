"""Words of what people say of readings, and of completeness."""

from __future__ import annotations

from api.pages.texts.text import Text

AMENDMENTS: dict[str, Text] = {
    "amend.title": Text("读数修正", "Amended readings"),
    "amend.none": Text("没有修正过的读数。", "No reading was amended."),
    "amend.give": Text("修正读数", "Amend a reading"),
    "amend.withdraw": Text("撤回修正", "Take it back"),
    "amend.in_force": Text("生效", "in force"),
    "amend.withdrawn": Text("已撤回", "withdrawn"),
    "amend.void": Text("该时刻读数作废", "no reading counts"),
    "amend.start_index": Text("安装时的起始示数", "start index of the installation"),
    "amend.made": Text("{who} 于 {time} 修正", "by {who}, {time}"),
    "amend.withdrawn_at": Text("{who} 于 {time} 撤回：{why}", "withdrawn by {who}, {time}: {why}"),
    "amend.replaced": Text("被新的修正取代", "replaced by a newer one"),
    "amend.installation_changed": Text("安装记录已变更", "the installation was changed"),
    "amend.time": Text("读数时刻（当地时间）", "Instant of the reading (local time)"),
    "amend.index_l": Text("正确示数（升）", "Right index (litres)"),
    "amend.hint": Text(
        "示数留空表示该时刻的读数作废。原始读数不会改变，修正可以撤回，水量随后重新结算。",
        "Leave the index empty to void the reading of that instant. Raw readings stay as they are, an amendment can be "
        "taken back, and volumes are settled again.",
    ),
    "amend.reason": Text("原因", "Reason"),
    "amend.done": Text("已记录；水量数秒内重新结算。", "Recorded; volumes follow within seconds."),
    "amend.refused": Text("无法修正：{why}", "Cannot be done: {why}"),
    "amend.not_allowed": Text("您已退出登录或权限不足。", "You are signed out, or your role does not allow it."),
    "day_edit.title": Text("日水量修改", "Edited days"),
    "day_edit.none": Text("没有修改过的日水量。", "No day was edited."),
    "day_edit.give": Text("修改日水量", "Edit a day"),
    "day_edit.withdraw": Text("撤回修改", "Take the edit back"),
    "day_edit.void": Text("该日水量作废", "nothing of that day counts"),
    "day_edit.day": Text("日期（当地）", "Day (local)"),
    "day_edit.volume_l": Text("当日用水量（升）", "The day's use (litres)"),
    "day_edit.hint": Text(
        "水量留空表示该日作废、不计水量。读数和示数不变，差额列为未计水量；合计与账期随后更新，修改可以撤回。",
        "Leave the volume empty to void the day. Readings and indices stay as they are, the difference stands as "
        "excluded; sums and billing follow, and the edit can be taken back.",
    ),
    "completeness.intro": Text(
        "抄表成功率 = 抄到的水表 ÷ 应抄的水表，按本公司的定义（每日至少 {least} 个读数{midnight}）。",
        "Reading rate = meters read ÷ meters to be read, by the utility's own definition (readings of the day: at "
        "least {least}{midnight}).",
    ),
    "completeness.midnight": Text("，且读数覆盖整日", ", and both midnights reached"),
    "completeness.day": Text("日期", "Day"),
    "completeness.zone": Text("分区", "Zone"),
    "completeness.all": Text("全部水表", "All meters"),
    "completeness.rate": Text("抄表成功率", "Reading rate"),
    "completeness.meters": Text("抄到 / 应抄", "Read / to be read"),
    "completeness.readings": Text("收到 / 应收读数", "Readings received / expected"),
    "completeness.csv": Text("导出 CSV", "Export CSV"),
    "completeness.unread": Text("最近一日未抄到的水表", "Meters not read on the last day"),
    "completeness.all_read": Text("全部抄到。", "All were read."),
    "completeness.more": Text(
        "只显示前 {shown} 块，其余见接口 /completeness。", "The first {shown}; the others over REST, at /completeness."
    ),
    "completeness.empty": Text("没有应抄的水表。", "No meter was to be read."),
}
