"""Words of the districts: their tree, balance, night flow and the IWA balance."""

from __future__ import annotations

from api.pages.texts.text import Text

DISTRICTS: dict[str, Text] = {
    "districts.intro": Text(
        "未计量水量 = 进水 − 出水 − 用户用水。阴影为 95% 不确定范围，缺抄或估算的水表越多，范围越宽。",
        "Unaccounted = inlet − outlet − customers. The shade is the 95 % band; it widens with each meter that is "
        "missing or estimated.",
    ),
    "districts.empty": Text(
        "还没有分区。登记分区及其进出口水表后，这里显示水量平衡。",
        "There are no zones yet. With inlet and outlet meters entered, their balance appears here.",
    ),
    "districts.tree": Text("分区", "Zones"),
    "districts.name": Text("分区", "Zone"),
    "districts.day": Text("日期", "Day"),
    "districts.inflow": Text("净进水", "Net inflow"),
    "districts.customers": Text("用户用水", "Customers"),
    "districts.unaccounted": Text("未计量水量", "Unaccounted"),
    "districts.band": Text("95% 范围", "95 % band"),
    "districts.night": Text("夜间最小流量", "Night flow"),
    "districts.night_net": Text("夜间净流量", "Net night flow"),
    "districts.night_use": Text("夜间用户用水", "Customers at night"),
    "districts.alerts": Text("告警", "Alerts"),
    "districts.meters": Text("本区水表", "Meters of this zone"),
    "districts.silent": Text("本区失联水表", "Silent meters of this zone"),
    "districts.flows": Text("进出口水表", "Inlets and outlets"),
    "districts.direction": Text("方向", "Direction"),
    "districts.direction.in": Text("进水", "In"),
    "districts.direction.out": Text("出水", "Out"),
    "districts.last_reading": Text("最近读数时间", "Newest reading"),
    "districts.since": Text("启用日期", "Since"),
    "districts.choose": Text("查看的分区", "Zone shown"),
    "districts.no_inlet": Text(
        "该分区未登记进水表，或尚无完整的小时数据。", "This zone has no inlet meter entered, or no whole hour yet."
    ),
    "districts.hourly": Text("每小时未计量水量，近 7 天", "Unaccounted by hour, 7 days"),
    "districts.daily": Text("每日未计量水量，近 60 天", "Unaccounted by day, 60 days"),
    "districts.nightly": Text("夜间流量（2–5 时），近 60 天", "Night flow (2 to 5 h), 60 days"),
    "districts.iwa": Text("国际水协水量平衡", "IWA water balance"),
    "districts.year": Text("近一年", "Last 365 days"),
    "districts.part": Text("项目", "Part"),
    "districts.input": Text("系统供水量", "System input"),
    "districts.billed": Text("计费用水量", "Billed, metered"),
    "districts.unbilled": Text("免费用水量", "Authorised, unbilled"),
    "districts.apparent": Text("表观漏损", "Apparent losses"),
    "districts.real": Text("真实漏损", "Real losses"),
    "districts.nrw": Text("产销差水量", "Non-revenue water"),
    "districts.money": Text("产销差金额", "Non-revenue water, money"),
    "districts.carl": Text("当前真实漏损 CARL（每天）", "Current real losses, CARL (a day)"),
    "districts.uarl": Text("不可避免漏损 UARL（每天）", "Unavoidable real losses, UARL (a day)"),
    "districts.ili": Text("漏损指数 ILI", "Infrastructure leakage index, ILI"),
    "districts.days_known": Text("有数据 {known} / {days} 天", "{known} of {days} days known"),
}
