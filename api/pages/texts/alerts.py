"""Words of alerts: their list, their life, their evidence."""

from __future__ import annotations

from api.pages.texts.text import Text

ALERTS: dict[str, Text] = {
    "alerts.state": Text("状态", "State"),
    "alerts.kind": Text("类型", "Kind"),
    "alerts.severity": Text("级别", "Severity"),
    "alerts.active": Text("未关闭", "Not closed"),
    "alerts.meter_link": Text("水表 {serial}", "Meter {serial}"),
    "alerts.raised": Text("{time} 发出", "raised {time}"),
    "alerts.started": Text("始于 {time}", "since {time}"),
    "alerts.last_seen": Text("最近一次 {time}", "last seen {time}"),
    "alerts.ended": Text("已于 {time} 消失", "gone since {time}"),
    "alerts.loss": Text("累计损失约 {volume}", "about {volume} lost"),
    "alerts.acknowledge": Text("确认接手", "Acknowledge"),
    "alerts.resolve": Text("处理完毕", "Resolve"),
    "alerts.dismiss": Text("判为误报", "Dismiss"),
    "alerts.reason": Text("原因或处理说明", "Reason, or what was done"),
    "alerts.reason_needed": Text("请写明原因，以后查得到。", "Please give a reason; it is kept."),
    "alerts.done": Text("已记录：{state}", "Recorded: {state}"),
    "alerts.conflict": Text(
        "另一位同事已经改变了这条告警，已重新读取。", "A colleague changed this alert meanwhile; it was read again."
    ),
    "alerts.not_allowed": Text("您的角色只能查看告警。", "Your role may only look at alerts."),
    "alerts.empty": Text(
        "没有告警。平台会在水表持续用水、失联或自身报警时在此提示。",
        "No alerts. They appear here when a meter runs without pause, falls silent or raises an alarm of its own.",
    ),
    "alerts.none_found": Text("没有符合条件的告警。请放宽筛选条件。", "No alert matches. Widen the filter."),
    "alerts.kind.continuous_flow": Text("持续用水（疑似漏水）", "Continuous flow (probable leak)"),
    "alerts.kind.silent": Text("水表失联", "Meter silent"),
    "alerts.kind.meter_alarm": Text("表端报警", "Alarm of the meter"),
    "alerts.kind.meter_alarm_of": Text("表端报警：{alarm}", "Alarm of the meter: {alarm}"),
    "alerts.state.open": Text("待处理", "open"),
    "alerts.state.acknowledged": Text("处理中", "acknowledged"),
    "alerts.state.resolved": Text("已解决", "resolved"),
    "alerts.state.dismissed": Text("误报", "dismissed"),
    "alerts.severity.info": Text("提示", "info"),
    "alerts.severity.warning": Text("警告", "warning"),
    "alerts.severity.critical": Text("紧急", "critical"),
    "evidence.meter_alarm": Text(
        "水表在 {time} 的上报中置位“{alarm}”标志（第 {bit} 位）。",
        'The meter set its flag "{alarm}" (bit {bit}) in its report of {time}.',
    ),
    "evidence.continuous_flow": Text(
        "{start} 至 {end} 的 {hours} 小时里，有实测的 {measured} 小时每小时都在流水：最小 {minimum}"
        "（该口径判定门限 {threshold}），共 {volume}。夜间也不停，多为马桶、龙头或表后管漏水。",
        "Water ran in every one of the {measured} measured hours of the {hours} from {start} to {end}: at least "
        "{minimum} (threshold for this size {threshold}), {volume} in all. It does not rest at night: look for a "
        "running toilet, tap or a pipe behind the meter.",
    ),
    "evidence.hourly": Text("逐时用水（L）：{hourly}", "Each hour (L): {hourly}"),
    "evidence.silent": Text(
        "最近一次上报在 {time}，已超过 {limit} 小时的上限。先查信号与电池，再安排现场。",
        "Its last report came {time}, longer ago than the limit of {limit} h. Check signal and battery, then visit.",
    ),
    "evidence.never_heard": Text(
        "自 {time} 安装以来从未上报（上限 {limit} 小时）。核对 IMEI 与安装登记。",
        "It has not reported since it was installed {time} (limit {limit} h). Check its IMEI and registration.",
    ),
}
