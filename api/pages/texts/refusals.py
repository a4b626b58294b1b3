"""Refusals of what operators do with volumes and bills, in Chinese. In English they are what REST says.

A refusal is raised where the rule stands, far from any page: the page knows its words only.
"""

from __future__ import annotations

import re

_ROLES = {"viewer": "只读用户", "operator": "值班员", "engineer": "工程师", "administrator": "管理员"}

REFUSALS: tuple[tuple[str, str], ...] = (
    (r"this needs the role (?P<role>\w+); .*", "需要{role}权限"),
    (r"a value is not one the database can hold", "数值或文字无法保存"),
    (r"a reason is limited to (?P<most>\d+) characters", "原因最多 {most} 个字"),
    (r"the reason holds characters that are not text", "原因中含有不可用的字符"),
    (r"give the reason: .*", "请填写原因"),
    (r"no meter (?P<serial>.+)", "没有水表 {serial}"),
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
    (r"no billing period (?P<name>.+)", "没有账期 {name}"),
    (r"there is a billing period (?P<name>.+) already", "已有名为 {name} 的账期"),
    (r"some of these days belong to another billing period", "其中有些日期已属于另一账期"),
    (r"(?P<name>.+) is closed already", "{name} 已经关账"),
    (r"somebody else is closing or dropping (?P<name>.+) just now", "此刻另有人正在关闭或撤销账期 {name}"),
    (r"the last day of (?P<name>.+) is not over", "{name} 的末日尚未结束"),
    (r"a period's name has 1 to (?P<most>\d+) printable characters", "账期名称为 1 至 {most} 个可显示的字符"),
    (r"a period's name has no slash, and more than dots", "账期名称不能含斜杠，也不能只有句点"),
    (r"a period has 1 to (?P<most>\d+) days, its first before its last", "账期为 1 至 {most} 天，首日不晚于末日"),
    (r"a period lies from (?P<first>\S+) to (?P<last>\S+)", "账期须在 {first} 至 {last} 之间"),
)
"""What it is in English, as a pattern for all of it, and in Chinese with the parts named there."""


def in_chinese(refusal: str) -> str:
    """The refusal itself where nobody gave its Chinese."""
    for english, chinese in REFUSALS:
        if found := re.fullmatch(english, refusal, re.DOTALL):
            parts = found.groupdict()
            if "role" in parts:
                parts["role"] = _ROLES.get(parts["role"], parts["role"])
            return chinese.format(**parts)
    return refusal
