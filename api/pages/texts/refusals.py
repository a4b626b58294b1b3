"""Refusals of what operators ask for, in Chinese. In English they are what REST says.

A refusal is raised where the rule stands, far from any page: the page knows its words only.
"""

from __future__ import annotations

import re

from api.pages.texts import TEXTS

WORDS = {
    "role": "frame.role",
    "alert_state": "alerts.state",
    "alert_kind": "alerts.kind",
    "command": "commands.kind",
    "command_state": "commands.state",
    "argument": "commands.argument",
    "campaign_state": "campaigns.state",
}
"""Parts of a refusal that are stored values, and the group of texts that has their words."""

_ANYWHERE = (
    (r"this needs the role (?P<role>\w+); .*", "需要{role}权限"),
    (r"a value is not one the database can hold", "数值或文字无法保存"),
    (r"a reason is limited to (?P<most>\d+) characters", "原因最多 {most} 个字"),
    (r"the reason holds characters that are not text", "原因中含有不可用的字符"),
    (r"give the reason(: .*)?", "请填写原因"),
    (r"search is limited to (?P<most>\d+) characters", "搜索内容最多 {most} 个字"),
    (r"limit must be between 1 and (?P<most>\d+)", "每页为 1 至 {most} 条"),
    (r"the cursor is not one this list gave out", "翻页位置无效，请从第一页看起"),
    (r"1 to (?P<most>\d+) days at a time", "一次最多 {most} 天"),
    (r"a period of 1 to (?P<most>\d+) days is needed.*", "时段为 1 至 {most} 天，首日不晚于末日"),
    (r"no report has the id (?P<id>.+)", "没有编号为 {id} 的报文"),
    (r"a report id is a UUID", "报文编号须为 UUID"),
    (r"no meter has the serial (?P<serial>.+)", "没有水表 {serial}"),
    (r"(?:no|there is no) meter (?P<serial>.+)", "没有水表 {serial}"),
)
_AMENDMENTS = (
    (r"meter (?P<serial>\S+) has no reading at that instant", "水表 {serial} 在该时刻没有读数"),
    (r"meter (?P<serial>\S+) has no (?:amendment|edit) (?P<number>\d+)", "水表 {serial} 没有第 {number} 号修正"),
    (r"it is withdrawn already", "已经撤回过了"),
    (r"an instant has whole seconds and an offset, and lies from 2010 to now", "时刻须为整秒，且在 2010 年至今之间"),
    (r"the register shows 0 to (?P<most>\d+) ml", "该表计数器的范围是 0 至 {most} 毫升"),
    (r".+ is no number of litres", "请以数字填写升数"),
    (r"that day is not over", "该日尚未结束"),
    (r"no reading reaches that day: .*", "该日没有读数覆盖：请改为补录该日零点的示数"),
    (r"a volume of this meter is a multiple of (?P<step>\d+) ml", "该表的水量须为 {step} 毫升的整数倍"),
    (r"this meter lets 0 to (?P<most>\d+) ml through in a day", "该表一日可通过的水量为 0 至 {most} 毫升"),
)
_BILLING = (
    (r"no billing period (?P<name>.+)", "没有账期 {name}"),
    (r"there is a billing period (?P<name>.+) already", "已有名为 {name} 的账期"),
    (r"some of these days belong to another billing period", "其中有些日期已属于另一账期"),
    (r"(?P<name>.+) is closed already", "{name} 已经关账"),
    (r"the last day of (?P<name>.+) is not over", "{name} 的末日尚未结束"),
    (r"a period's name has 1 to (?P<most>\d+) printable characters", "账期名称为 1 至 {most} 个可显示的字符"),
    (r"a period's name has no slash, and more than dots", "账期名称不能含斜杠，也不能只有句点"),
    (r"a period has 1 to (?P<most>\d+) days, its first before its last", "账期为 1 至 {most} 天，首日不晚于末日"),
    (r"a period lies from (?P<first>\S+) to (?P<last>\S+)", "账期须在 {first} 至 {last} 之间"),
)
_ALERTS = (
    (r"there is no alert (?P<number>\d+)", "没有第 {number} 号告警"),
    (r"an alert that is (?P<alert_state>\w+) cannot be \w+", "告警的状态是“{alert_state}”，不能再这样处理"),
    (r"the alert is (?P<alert_state>\w+) by now, not \w+", "告警的状态已变为“{alert_state}”"),
    (r"somebody else has just changed this alert", "另一位同事刚刚改变了这条告警"),
    (r"to \w+ an alert, give the reason", "请填写原因"),
    (r"there is no suppression (?P<number>\d+)", "没有第 {number} 号屏蔽"),
    (r"it is over already", "屏蔽已经结束"),
    (r"no zone has the code (?P<code>.+)", "没有分区 {code}"),
    (r"name a meter or a zone, not both", "水表和分区只选其一"),
    (r"kind is one of .*", "不能屏蔽这种告警"),
    (r"(?P<alert_kind>\w+) is raised for zones, not for meters", "“{alert_kind}”针对分区，不针对水表"),
    (r"an instant has an offset", "时刻须带时差"),
    (r"the window is over before it begins to matter: .*", "屏蔽的结束时间已经过去"),
    (r"a window begins at most (?P<most>\d+) days ago", "屏蔽最早可从 {most} 天前开始"),
    (r"a window lasts longer than nothing and at most (?P<most>\d+) days", "结束须晚于开始，屏蔽最长 {most} 天"),
)
_COMMANDS = (
    (r"(?P<command>\w+) needs the role (?P<role>\w+); .*", "“{command}”指令需要{role}权限"),
    (r"firmware is sent by a campaign", "固件须通过固件升级下发"),
    (r"(?P<serial>.+) supplies a critical customer: .*", "水表 {serial} 供重要用户用水，不能远程关阀"),
    (r"who files a command cannot approve it: .*", "不能复核自己提交的指令，须由另一人复核"),
    (r"this request would close (?P<count>\d+) valves, at most (?P<most>\d+) may be",
     "一次最多关 {most} 个阀门，这次是 {count} 个"),
    (r"(?P<who>\S+) within 24 hours would close (?P<count>\d+) valves, at most (?P<most>\d+) may be",
     "{who} 24 小时内最多关 {most} 个阀门，加上这次是 {count} 个"),
    (r"a command waits from a minute to (?P<most>\d+) days", "指令的有效期为 1 分钟至 {most} 天"),
    (r"one request names 1 to (?P<most>\d+) meters", "一次为 1 至 {most} 只水表"),
    (r"a meter is named twice", "有水表重复"),
    (r"opening and closing are two requests", "开阀和关阀须分两次提交"),
    (r"(?P<serial>.+) has no device that could be told anything now", "水表 {serial} 目前没有可下发指令的设备"),
    (r"(?P<count>\d+) commands wait for (?P<serial>.+) already", "水表 {serial} 已有 {count} 条指令等待"),
    (r"more than (?P<most>\d+) commands would wait: .*", "等待中的指令将超过 {most} 条，请待部分指令结束后再试"),
    (r"there is no command (?P<id>.*)", "没有指令 {id}"),
    (r"the command is (?P<command_state>\w+) by now and waits for no approval",
     "指令不再等待复核（{command_state}，或已到期）"),
    (r"the command is (?P<command_state>\w+) already", "指令的状态已是“{command_state}”"),
    (r"(?P<command>\w+) has no argument .*", "“{command}”指令没有这样的参数"),
    (r"(?P<command>\w+) needs (?P<argument>\w+)", "“{command}”指令须填写“{argument}”"),
    (r"(?P<argument>\w+) is an integer from (?P<low>\d+) to (?P<high>\d+)", "“{argument}”须为 {low} 至 {high} 的整数"),
    (r"(?P<argument>\w+) is (?P<low>\d+) to (?P<high>\d+) bytes in hexadecimal",
     "“{argument}”须为 {low} 至 {high} 字节的十六进制数"),
    (r"(?P<argument>\w+) is (?P<length>\d+) bytes in hex", "“{argument}”须为 {length} 字节的十六进制数"),
    (r"(?P<argument>\w+) is open or close", "“{argument}”须为开阀或关阀"),
    (r"(?P<argument>\w+) is an address of at most (?P<most>\d+) ASCII characters",
     "“{argument}”须为地址，最多 {most} 个 ASCII 字符"),
    (r"offset_s lies within period_s", "偏移须小于周期"),
    (r"from_s comes before to_s", "起始时间须早于截止时间"),
)  # fmt: skip
_CAMPAIGNS = (
    (r"a campaign has 1 to (?P<most>\d+) meters, each once", "一次升级为 1 至 {most} 只水表，不能重复"),
    (r"waves grow, and there are at most (?P<most>\d+)", "批次须逐批增大，最多 {most} 批"),
    (r"a wave is a number or a share such as .*", "批次须为数量或比例，如 10 或 25%"),
    (r"the rule that stops a campaign is two numbers", "停止规则须填写两个数字"),
    (r"a campaign has an image, a share .*", "须选择固件；失败比例为 0 至 100%，失败数从 1 起"),
    (r"(?P<failed>\d+) of (?P<ended>\d+) failed: .*", "有结果的 {ended} 只中 {failed} 只失败，升级到此停止"),
    (r"(?P<open>\d+) meters of the wave before have not said how it went", "前一批还有 {open} 只水表没有结果"),
    (r"not one meter of the waves before has confirmed", "此前各批还没有一只水表成功"),
    (r"every wave was sent out", "所有批次都已下发"),
    (r"there is no campaign (?P<number>\d+)", "没有第 {number} 号升级"),
    (r"the campaign is (?P<campaign_state>\w+)", "升级{campaign_state}"),
    (r"somebody else has just moved this campaign", "另一位同事刚刚操作了这次升级"),
    (r"no such campaign is running", "这次升级不在进行中"),
    (r"there is no image .*", "没有这个固件"),
    (r"a meter of the campaign is not known", "其中有水表未登记"),
    (r"firmware\.uri_base is not set: .*", "未设置 firmware.uri_base：水表不知道从哪里下载固件"),
)
_UNKNOWN_DEVICES = (
    (r"nobody of this name (?:knocks|waits)", "该设备已不在未知设备之列"),
    (r"it knocks from (?P<source>.+) by now: .*", "它现在从 {source} 上报：请重新查看后再确认"),
    (r"the registry has this device or meter already", "该设备或水表已经登记"),
    (r"a device of this name is in the registry already", "已登记有同名设备"),
    (r"no device can have this name", "这个名称不能用作设备名"),
    (r"a serial is 1 to 32 letters, digits, - _ \.", "表号为 1 至 32 位字母、数字或 - _ ."),
    (r"(?P<name>\S+) is the serial of another meter", "{name} 是另一只水表的表号"),
    (r"(?P<name>\S+) is the name of another device", "{name} 是另一个设备的名称"),
    (r"its address is not known, so .*", "不知道它的地址，不能允许它不用密钥上报"),
    (r"meter (?P<serial>\S+) is not installed: .*", "水表 {serial} 没有安装记录，请先导入"),
    (r"the present installation begins in the future, .*", "该水表的安装日期在将来，现在不能更换设备"),
    (r"that is no name of a push product", "推送产品的名称无效"),
    (r"(?P<most>\d+) products may speak for the device already", "该设备已绑定 {most} 个推送产品"),
)
REFUSALS: tuple[tuple[str, str], ...] = (
    *_ANYWHERE, *_AMENDMENTS, *_BILLING, *_ALERTS, *_COMMANDS, *_CAMPAIGNS, *_UNKNOWN_DEVICES,
)  # fmt: skip
"""What it is in English, as a pattern for all of it, and in Chinese with the parts named there. The first that fits."""


def in_chinese(refusal: str) -> str:
    """The refusal itself where nobody gave its Chinese."""
    for english, chinese in REFUSALS:
        if found := re.fullmatch(english, refusal, re.DOTALL):
            return chinese.format(**{name: _worded(name, part) for name, part in found.groupdict().items()})
    return refusal


def _worded(name: str, part: str) -> str:
    text = TEXTS.get(f"{WORDS[name]}.{part}") if name in WORDS else None
    return part if text is None else text.zh
