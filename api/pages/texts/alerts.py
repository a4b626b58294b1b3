"""Words of alerts: their list, their life, their evidence."""

from __future__ import annotations

from api.pages.texts.text import Text

ALERTS: dict[str, Text] = {
    "alerts.state": Text("状态", "State"),
    "alerts.kind": Text("类型", "Kind"),
    "alerts.severity": Text("级别", "Severity"),
    "alerts.serial": Text("完整表号", "Serial, whole"),
    "alerts.active": Text("未关闭", "Not closed"),
    "alerts.meter_link": Text("水表 {serial}", "Meter {serial}"),
    "alerts.raised": Text("{time} 发出", "raised {time}"),
    "alerts.first_raised": Text("首次 {time} 发出", "first raised {time}"),
    "alerts.started_again": Text("本次始于 {time}", "this time since {time}"),
    "alerts.started": Text("始于 {time}", "since {time}"),
    "alerts.last_seen": Text("最近一次 {time}", "last seen {time}"),
    "alerts.ended": Text("已于 {time} 消失", "gone since {time}"),
    "alerts.over": Text("迹象已消失", "seems over"),
    "alerts.loss": Text("累计漏失约 {volume}", "about {volume} lost"),
    "alerts.loss_rate": Text("漏失 {rate}", "losing {rate}"),
    "alerts.loss_rate_over": Text("曾漏失 {rate}", "was losing {rate}"),
    "alerts.loss_year": Text("一年约 {volume}，{money}", "{volume}, {money} a year"),
    "alerts.certainty": Text("把握程度", "Certainty"),
    "alerts.certainty.suspected": Text("疑似", "suspected"),
    "alerts.certainty.confirmed": Text("已证实", "confirmed"),
    "alerts.certainty.cleared": Text("已解除", "cleared"),
    "alerts.suppress": Text("屏蔽告警…", "Suppress…"),
    "alerts.order": Text("排序", "Order"),
    "alerts.order.usual": Text("自动：漏水按年漏失，其他按紧急程度", "usual: leaks by loss, others by urgency"),
    "alerts.order.worst": Text("最需处理的在前", "worst first"),
    "alerts.order.loss": Text("年漏失最大的在前", "largest loss per year first"),
    "alerts.order.lost": Text("累计漏失最多的在前", "most lost so far first"),
    "alerts.order.newest": Text("最新发出的在前", "newest first"),
    "alerts.details": Text("详情", "Details"),
    "alerts.outage_meters": Text("全部水表（CSV）", "All its meters (CSV)"),
    "alerts.life": Text("处理经过", "What was done"),
    "alerts.life_raised": Text("发出告警", "raised"),
    "alerts.life_moved": Text("{before} → {after}", "{before} → {after}"),
    "alerts.closed_by_platform.leak": Text("关闭：由漏水告警接续", "closed: its leak alert goes on instead"),
    "alerts.closed_by_platform.bulk_meter": Text(
        "关闭：该表为分区总表，其后没有用户", "closed: a district's meter, no customer is behind it"
    ),
    "alerts.closed_by_platform.outage": Text("关闭：并入成片失联事件", "closed: part of an event of many meters"),
    "alerts.platform": Text("平台", "the platform"),
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
    "alerts.kind.leak": Text("漏水", "Leak"),
    "alerts.kind.burst": Text("表后爆管", "Burst behind the meter"),
    "alerts.kind.stuck": Text("水表停走", "Meter stuck"),
    "alerts.kind.under_registering": Text("计量偏低", "Under-registering"),
    "alerts.kind.reverse_flow": Text("倒流", "Reverse flow"),
    "alerts.kind.continuous_flow": Text("持续用水（疑似漏水）", "Continuous flow (probable leak)"),
    "alerts.kind.flow_after_close": Text("关阀后仍有水流", "Flow after the valve was closed"),
    "alerts.kind.district_leak": Text("分区管网漏损突增", "Burst in a district's mains"),
    "alerts.kind.outage": Text("成片失联", "Many meters silent"),
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
        "水表在 {time} 的上报中自报“{alarm}”。", 'The meter itself said "{alarm}" in its report of {time}.'
    ),
    "evidence.advice.leak": Text(
        "核对逐时用水，联系用户检查表后管道、马桶和水龙头。",
        "Look at its hours, and have the pipes, toilet and taps behind the meter checked.",
    ),
    "evidence.advice.burst": Text(
        "疑似爆管：立即联系用户，必要时关阀并派人到场。", "A burst pipe is likely: call the customer now, send a crew."
    ),
    "evidence.advice.reverse_flow": Text(
        "检查止回阀和水表安装方向，核对是否有自备水源倒灌。",
        "Check the non-return valve, which way the meter sits, and for a source of the customer's own.",
    ),
    "evidence.advice.magnetic_tamper": Text(
        "可能有人用磁铁干扰计量：现场核查表身和铅封。",
        "A magnet may disturb the meter: inspect it and its seal on site.",
    ),
    "evidence.advice.dismantled": Text(
        "水表可能被拆下：立即现场核查，并核对停用记录。", "The meter may have been taken off: inspect it on site now."
    ),
    "evidence.advice.battery_low": Text(
        "电池将耗尽：安排换表或更换电池，以免失联。", "The battery is nearly empty: plan to change it or the meter."
    ),
    "evidence.advice.empty_pipe": Text(
        "管内无水：核对是否停水、关阀或断管。", "There is no water in the pipe: is the supply cut or a valve closed?"
    ),
    "evidence.advice.over_range_flow": Text(
        "流量超过水表上限：核查是否爆管，或口径选小。",
        "More flows than the meter is made for: a burst pipe, or a meter too small.",
    ),
    "evidence.advice.valve_fault": Text(
        "阀门没有按指令到位：安排检修，勿再远程开关。", "The valve did not move as told: have it repaired."
    ),
    "evidence.advice.clock_lost": Text(
        "表内时钟丢失：这期间的读数时间可能不准，需重新校时。",
        "The meter lost its clock: times of its readings may be wrong until it is set.",
    ),
    "evidence.advice.storage_fault": Text(
        "表内存储故障：历史读数可能缺失，安排换表。",
        "The meter's memory failed: readings may be lost, change the meter.",
    ),
    "evidence.continuous_flow": Text(
        "{start} 至 {end} 这 {hours} 小时里，实测的 {measured} 小时每小时都有水流过，共 {volume}；"
        "最小时流量 {minimum}，该口径的判定门限为 {threshold}。",
        "Water ran in every one of the {measured} measured hours of the {hours} from {start} to {end}, {volume} in "
        "all: at least {minimum}, where the threshold for this size is {threshold}.",
    ),
    "evidence.certainty": Text(
        "把握程度：{certainty}（最小时流量为门限的 {times} 倍，已连续 {lasting}）。",
        "How sure: {certainty} (the least hour is {times} times the threshold; it has lasted {lasting}).",
    ),
    "evidence.certainty.high": Text("高", "very"),
    "evidence.certainty.medium": Text("中", "fairly"),
    "evidence.certainty.low": Text("低，可能是夜间正常用水", "not very, it may be use at night"),
    "evidence.leak_drips": Text(
        "水量小，多为水龙头或马桶滴漏，可电话告知用户自查。",
        "This little is mostly a dripping tap or cistern: the customer can look for it.",
    ),
    "evidence.leak_runs": Text(
        "多为马桶、浮球阀常流水或表后管渗漏，请用户检查，必要时上门。",
        "Mostly a running toilet, a float valve or a seeping pipe behind the meter: have the customer check, or visit.",
    ),
    "evidence.leak_bursts": Text(
        "水量大，表后管可能破损：尽快联系用户关闭表前阀，并派人到场检查。",
        "This much points to a broken pipe behind the meter: have the valve closed and send a crew soon.",
    ),
    "evidence.rested": Text(
        "{time} 起已出现不用水的小时，漏水可能已修好或已关阀，核实后可关闭此告警。",
        "It rested in the hour up to {time}: mended, or shut off. Confirm, then close this alert.",
    ),
    "evidence.hourly": Text("逐时用水（L）：{hourly}", "Each hour (L): {hourly}"),
    "evidence.usual_of_hour": Text(" · 往常 {usual}", " · usually {usual}"),
    "evidence.hourly_hint.continuous_flow": Text(
        "逐时用水（L）；虚线为判定门限 {limit}", "Each hour (L); dashed: the threshold, {limit}"
    ),
    "evidence.hourly_hint.burst": Text(
        "逐时用水（L）；虚线为本户以往最高 {limit}", "Each hour (L); dashed: the most this home ever used, {limit}"
    ),
    "evidence.hourly_hint.together": Text(
        "逐时用水（L）。灰底：本户往常在这个时刻用水的频次，满高为天天如此；橙色：往常很少用水的时刻",
        "Each hour (L). Grey ground: how often the home usually uses water at that hour, full height being every day; "
        "orange: hours at which it seldom does",
    ),
    "evidence.hourly_hint.leak": Text(
        "逐时用水（L）。灰底：本户往常在这个时刻用到这么多水的频次，满高为天天如此；"
        "橙色：往常很少用到的时刻；虚线 {limit}",
        "Each hour (L). Grey ground: how often the home usually uses so much at that hour, full height being every "
        "day; orange: hours at which it seldom does; dashed: {limit}",
    ),
    "evidence.flow_after_close": Text(
        "水表于 {closed} 报告已关阀，但 {start} 至 {end} 又走了 {volume}。",
        "The meter said {closed} that its valve is closed; from {start} to {end} it counted {volume} all the same.",
    ),
    "evidence.flow_after_close_advice": Text(
        "阀门可能关不严或未动作：派人现场核实并检修，勿只凭指令结果认定已停水。",
        "The valve may leak or not have moved: have it looked at on site before the water counts as off.",
    ),
    "evidence.valve_opened": Text(
        "{time} 起阀门已重新打开，核实后可关闭此告警。",
        "The valve is open again since {time}. Confirm, then close this alert.",
    ),
    "evidence.outage": Text(
        "{name} 自 {since} 起应上报的水表中有 {silent} 只没有上报，有上报的 {heard} 只，作为一个事件处理。",
        "{name}: of the meters that should have reported since {since}, {silent} did not and {heard} did. One event.",
    ),
    "evidence.outage_group.cell": Text("基站小区", "radio cell"),
    "evidence.outage_group.zone": Text("分区", "zone"),
    "evidence.outage_group.door": Text("接入方式", "door"),
    "evidence.outage_group.platform": Text("整个平台", "whole platform"),
    "evidence.outage_sample": Text("其中：{serials}", "Among them: {serials}"),
    "evidence.advice.outage": Text(
        "先查网络与推送平台，不必逐表派工；恢复后仍失联的水表会单独告警。",
        "Look at the network or the pushing platform first; whoever stays silent afterwards is told one by one.",
    ),
    "evidence.district_leak_balance": Text(
        "进水扣除出水和全部用户用水后，未计量水量突增 {rate}（±{error}），占平时进水 {usual} 的 {share}；"
        "用户自家漏水已由其水表计入，不在其中。",
        "What goes in and is neither passed on nor used by a customer rose by {rate} (± {error}), {share} of the usual "
        "inflow of {usual}. Customers' own leaks are on their meters and not in it.",
    ),
    "evidence.district_leak_night": Text(
        "夜间进水比往常夜间多 {rate}（±{error}），占平时夜间进水 {usual} 的 {share}；"
        "本区用户水表不足，无法排除用户夜间用水。",
        "At night {rate} (± {error}) more flows in than on other nights, {share} of the usual {usual}. Too few "
        "customers' meters report to rule out their use.",
    ),
    "evidence.district_leak_start_at": Text(
        "始于 {earliest}；变化量是本区判定门限的 {times} 倍。",
        "It began at {earliest}; the change is {times} times what this district's own habits allow.",
    ),
    "evidence.district_leak_start": Text(
        "始于 {earliest} 至 {latest} 之间；变化量是本区判定门限的 {times} 倍。",
        "It began between {earliest} and {latest}; the change is {times} times what this district's own habits allow.",
    ),
    "evidence.district_leak_advice": Text(
        "安排听漏：先分段关阀缩小范围，重点查近期施工和老旧管段；核对进出口表及边界阀门。",
        "Send a crew to listen: narrow it down by closing valves, look first at recent works and old pipes; check the "
        "inlet and outlet meters and boundary valves.",
    ),
    "evidence.district_leak_over": Text(
        "{time} 起流量已回落，可能已修复，核实后可关闭此告警。",
        "The flow fell back {time}: probably mended. Confirm, then close this alert.",
    ),
    "evidence.silent": Text(
        "最近一次上报在 {time}，已超过 {limit} 小时的上限。先查信号与电池，再安排现场。",
        "Its last report came {time}, longer ago than the limit of {limit} h. Check signal and battery, then visit.",
    ),
    "evidence.silent_merged": Text(
        "已并入成片失联事件 #{event}。", "It is part of an event in which many meters are silent, #{event}."
    ),
    "evidence.never_heard": Text(
        "自 {time} 安装或登记以来从未上报（上限 {limit} 小时）。核对 IMEI 与安装登记。",
        "It never reported since it was installed or registered, {time} (limit {limit} h). Check its IMEI.",
    ),
}
