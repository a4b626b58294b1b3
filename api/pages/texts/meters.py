"""Words of the list of meters."""

from __future__ import annotations

from api.pages.texts.text import Text

METERS: dict[str, Text] = {
    "meters.search": Text("搜索表号、IMEI 或地址", "Search serial, IMEI or address"),
    "meters.zone": Text("分区", "Zone"),
    "meters.state": Text("状态", "State"),
    "meters.state.reporting": Text("正常上报", "Reporting"),
    "meters.state.silent": Text("失联", "Silent"),
    "meters.state.never": Text("从未上报", "Never reported"),
    "meters.state.disabled": Text("已停用", "Disabled"),
    "meters.state.removed": Text("已拆除", "Removed"),
    "meters.state.alert": Text("有未关闭告警", "With open alerts"),
    "meters.serial": Text("表号", "Serial"),
    "meters.address": Text("地址", "Address"),
    "meters.index": Text("累计示数", "Index"),
    "meters.last_report": Text("最近上报", "Last report"),
    "meters.battery": Text("电池", "Battery"),
    "meters.signal": Text("信号", "Signal"),
    "meters.alerts": Text("告警", "Alerts"),
    "meters.alert_count": Text("{count} 条告警", "{count} open"),
    "meters.shown": Text("本页 {count} 只", "{count} on this page"),
    "meters.empty": Text(
        "还没有水表。用 nbwater meters import 文件.csv 导入，或用 nbwater simulate town 生成一个模拟小镇。",
        "There are no meters yet. Import them with: nbwater meters import FILE.csv, or simulate a town with: "
        "nbwater simulate town",
    ),
    "meters.none_found": Text("没有符合条件的水表。请放宽筛选条件。", "No meter matches. Widen the filter."),
    "meters.never": Text("从未", "never"),
}
