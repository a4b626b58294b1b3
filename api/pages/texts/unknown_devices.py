"""Words of the unknown devices: those that knock and are not in the registry."""

from __future__ import annotations

from api.pages.texts.text import Text

UNKNOWN_DEVICES: dict[str, Text] = {
    "unknown_devices.intro": Text(
        "这些设备正在上报，但未登记，数据没有收下。确认是本公司的水表后由工程师收录；其余可以忽略。",
        "These devices report and are not registered: nothing of theirs is taken. An engineer takes in those that are "
        "ours; the others may be dismissed.",
    ),
    "unknown_devices.empty": Text("没有未知设备。", "No unknown device knocks."),
    "unknown_devices.none_found": Text("没有符合条件的设备。", "No device matches."),
    "unknown_devices.not_allowed": Text(
        "您的角色只能查看；收录由工程师进行。", "Your role may only look; engineers take devices in."
    ),
    "unknown_devices.waiting": Text("待处理", "waiting"),
    "unknown_devices.dismissed": Text("已忽略", "dismissed"),
    "unknown_devices.search": Text("名称或地址", "Name or address"),
    "unknown_devices.source": Text("来自 {source}", "from {source}"),
    "unknown_devices.knocks": Text("{count} 次", "{count} times"),
    "unknown_devices.first": Text("首次 {time}", "first {time}"),
    "unknown_devices.last": Text("最近 {time}", "last {time}"),
    "unknown_devices.dismissed_by": Text("{who} 于 {time} 忽略", "dismissed by {who}, {time}"),
    "unknown_devices.approve": Text("收录", "Take in"),
    "unknown_devices.dismiss": Text("忽略", "Dismiss"),
    "unknown_devices.approve_title": Text("收录设备 {name}", "Take in {name}"),
    "unknown_devices.serial": Text("所属水表的表号", "Serial of its meter"),
    "unknown_devices.serial_hint": Text(
        "已有的水表将由此设备接替上报；没有此表号时新建水表。",
        "A meter that exists gets this device; without one a new meter is made.",
    ),
    "unknown_devices.serial_needed": Text(
        "表号为 1 至 32 位字母、数字或 - _ .", "A serial is 1 to 32 letters, digits, - _ ."
    ),
    "unknown_devices.plain": Text("允许从 {source} 不用密钥上报", "It may speak from {source} without a key"),
    "unknown_devices.plain_hint": Text(
        "仅用于专网地址；不勾选时，须先为它生成密钥。",
        "Only for addresses of a private network; otherwise make a key for it.",
    ),
    "unknown_devices.done": Text("已记录；各网关数秒内生效。", "Recorded; gateways know within seconds."),
    "unknown_devices.gone": Text("该设备已被处理。", "Somebody has dealt with it already."),
    "unknown_devices.refused": Text("无法收录：{why}", "Cannot be taken in: {why}"),
}
