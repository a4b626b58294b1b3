"""Words of the windows in which no alert is raised."""

from __future__ import annotations

from api.pages.texts.text import Text

SUPPRESSIONS: dict[str, Text] = {
    "suppressions.title": Text("告警屏蔽", "Suppressed alerts"),
    "suppressions.intro": Text(
        "屏蔽期间不发出新告警；已有的告警照常更新。屏蔽结束时仍存在的情况，以结束时刻发出告警。",
        "While a window lasts no new alert is raised; alerts that are there go on. What is still there when it ends is "
        "raised as of its end.",
    ),
    "suppressions.add": Text("屏蔽告警", "Suppress alerts"),
    "suppressions.none": Text("没有屏蔽。所有告警照常发出。", "Nothing is suppressed. All alerts are raised."),
    "suppressions.current": Text("生效中和已计划", "in force and planned"),
    "suppressions.state.in_force": Text("生效中", "in force"),
    "suppressions.state.planned": Text("已计划", "planned"),
    "suppressions.state.over": Text("已结束", "over"),
    "suppressions.serial": Text("水表表号（与分区二选一）", "Serial of a meter, or choose a zone"),
    "suppressions.zone": Text("分区（含下级分区）", "Zone, with those below it"),
    "suppressions.only_meter": Text("不选分区，只屏蔽该水表", "no zone, the meter only"),
    "suppressions.of_zone": Text("分区 {zone} 及其下级", "zone {zone} and those below"),
    "suppressions.all_kinds": Text("全部类型", "all kinds"),
    "suppressions.from": Text("开始", "From"),
    "suppressions.to": Text("结束", "To"),
    "suppressions.reason": Text(
        "原因（必填，例如管道施工、泳池注水）", "Reason (needed): works on a main, a pool filled"
    ),
    "suppressions.hint": Text(
        "时间为本地时间。屏蔽“水表失联”时，这些水表也不计入成片失联。",
        "Times are local. Meters whose silence is suppressed start no event of many silent meters either.",
    ),
    "suppressions.hint_twice": Text(
        "时钟拨慢时重复的时刻，开始取第一次，结束取第二次。",
        "Of a time that comes twice, when clocks go back, the begin is the first and the end the second.",
    ),
    "suppressions.one_target": Text("请填写水表表号或选择分区，二者只选其一", "name a meter or a zone, one of them"),
    "suppressions.zone_only": Text("此类告警针对分区，请选择分区", "alerts of this kind are of zones: choose a zone"),
    "suppressions.end_later": Text("结束时间须晚于开始时间和现在", "the end must lie after the begin and after now"),
    "suppressions.made": Text("{who} 于 {time} 设置", "made by {who} {time}"),
    "suppressions.ended": Text("由 {who} 提前结束", "ended early by {who}"),
    "suppressions.end": Text("提前结束", "End now"),
    "suppressions.done": Text("已记录", "Recorded"),
    "suppressions.refused": Text("未能记录：{why}", "Not recorded: {why}"),
    "suppressions.not_allowed": Text("您的角色不能屏蔽告警。", "Your role may not suppress alerts."),
}
