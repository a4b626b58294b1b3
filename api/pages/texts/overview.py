"""Words of the overview."""

from __future__ import annotations

from api.pages.texts.text import Text

OVERVIEW: dict[str, Text] = {
    "overview.meters": Text("在装水表", "Meters installed"),
    "overview.meters_unit": Text("只", ""),
    "overview.reporting": Text("上报率", "Reporting rate"),
    "overview.reporting_detail": Text("近 {hours} 小时 {reporting} 只已上报", "{reporting} in the last {hours} h"),
    "overview.reporting_hint": Text(
        "上报率 = 最近 {hours} 小时内收到过上报的在装水表数 ÷ 全部在装水表数。",
        "Installed meters heard of in the last {hours} hours, divided by all installed meters.",
    ),
    "overview.today": Text("今日用水量", "Water today"),
    "overview.today_detail": Text("昨日全天 {yesterday}", "all of yesterday {yesterday}"),
    "overview.today_hint": Text(
        "今日零点起已结算的用水量，来自今天已有读数的 {meters} 只水表；昨日全天为 {yesterday}。",
        "Water since midnight as far as it is settled, of the {meters} meters with readings today; all of yesterday: "
        "{yesterday}.",
    ),
    "overview.open_alerts": Text("未关闭告警", "Open alerts"),
    "overview.alerts_detail": Text("其中紧急 {critical} 条", "{critical} critical"),
    "overview.alerts_hint": Text("待处理和处理中的告警。", "Alerts that are open or acknowledged."),
    "overview.rate": Text("上报速率", "Report rate"),
    "overview.rate_detail": Text("最近 15 秒平均", "mean of the last 15 s"),
    "overview.reports_per_s": Text("条/秒", "reports/s"),
    "overview.rate_chart": Text("实时上报速率", "Live rate of reports"),
    "overview.consumption_chart": Text("近 14 日用水量", "Consumption of the last 14 days"),
    "overview.accounting": Text("报文对账", "Report accounting"),
    "overview.accounting_identity": Text(
        "收到 = 已存 + 部分 + 重复 + 异常 + 在途", "received = stored + partial + duplicate + dead-lettered + in flight"
    ),
    "overview.accounting_note": Text(
        "每条收到的报文都有唯一去向。重发指网关直接应答、不再入库的重传。",
        "Each report that was received ended in exactly one way. Repeats were answered by the gateway from memory.",
    ),
    "overview.accounting_ok": Text("账目相符", "It adds up"),
    "overview.accounting_bad": Text(
        "账目不符：收到 {received} 条，去向合计 {sum} 条，相差 {difference} 条",
        "It does not add up: {received} received, {sum} accounted for, difference {difference}",
    ),
    "overview.in_flight": Text("在途 {count} 条", "{count} in flight"),
    "overview.in_flight_unknown": Text("在途数未知（读不到消息流）", "in flight unknown (the stream cannot be read)"),
    "overview.door": Text("接入方式", "Door"),
    "overview.day": Text("日期", "Day"),
    "overview.received": Text("收到", "Received"),
    "overview.stored": Text("已存", "Stored"),
    "overview.partial": Text("部分", "Partial"),
    "overview.duplicate": Text("重复", "Duplicate"),
    "overview.dead_lettered": Text("异常", "Dead-lettered"),
    "overview.repeats": Text("重发", "Repeats"),
    "overview.check": Text("核对", "Check"),
    "overview.worst_alerts": Text("最需处理的告警", "Worst alerts"),
    "overview.all_alerts": Text("查看全部告警", "See all alerts"),
    "overview.no_alerts": Text("目前没有未关闭的告警。", "No alert is open."),
    "overview.no_meters": Text(
        "还没有水表。用 nbwater meters import 文件.csv 导入，或用 nbwater simulate town 生成一个模拟小镇。",
        "There are no meters yet. Import them with: nbwater meters import FILE.csv, or simulate a town with: "
        "nbwater simulate town",
    ),
    "overview.no_rate": Text(
        "正在统计上报速率，几秒后显示。", "The rate is being measured; it shows in a few seconds."
    ),
    "overview.whole_days": Text("已完整结算", "settled in full"),
    "overview.running_days": Text("部分水表未完整", "some meters not complete yet"),
    "overview.no_consumption": Text(
        "还没有结算的日用水量，收到两次读数后自动出现。",
        "No day is settled yet; days appear by themselves once a meter has sent two readings.",
    ),
    "overview.no_accounting": Text("近几日还没有报文。", "No report in the last days."),
}
