"""Words of billing periods."""

from __future__ import annotations

from api.pages.texts.text import Text

BILLING: dict[str, Text] = {
    "billing.intro": Text(
        "关账后的条目不再改变；之后的更正记入更正台账，随下一个关账的账期结转。开账与关账需要工程师权限。",
        "Entries of a closed period never change; what turns out different later goes into the ledger of corrections "
        "and is carried with the next period that is closed. To open and close takes an engineer.",
    ),
    "billing.empty": Text("还没有账期。", "There is no billing period yet."),
    "billing.state.open": Text("开放", "open"),
    "billing.state.closed": Text("已关账", "closed"),
    "billing.entries": Text("条目", "Entries"),
    "billing.billed": Text("计费水量", "Billed"),
    "billing.corrections": Text("更正", "Corrections"),
    "billing.corrected": Text("更正水量", "Corrected by"),
    "billing.days": Text("{first} 至 {last}", "{first} to {last}"),
    "billing.closed": Text("{who} 于 {time} 关账", "closed by {who}, {time}"),
    "billing.export.csv": Text("导出 CSV", "Export CSV"),
    "billing.export.xlsx": Text("导出 XLSX", "Export XLSX"),
    "billing.export.parquet": Text("导出 Parquet", "Export Parquet"),
    "billing.open": Text("新建账期", "Open a period"),
    "billing.name": Text("账期名称", "Name of the period"),
    "billing.first": Text("首日", "First day"),
    "billing.last": Text("末日", "Last day"),
    "billing.close": Text("关账", "Close the period"),
    "billing.close_hint": Text(
        "关账将写下每块水表的计费水量，此后不可更改，也不能重新打开；关账期间暂停结算。请先查看预览。",
        "Closing writes down what each meter is billed with. That never changes again, and the period does not open "
        "again; settlement waits meanwhile. Look at the preview first.",
    ),
    "billing.type_name": Text("再次输入账期名称以确认：{name}", "Type the name again to confirm: {name}"),
    "billing.not_confirmed": Text("请填写原因，并原样输入账期名称", "give a reason, and type the name as it is"),
    "billing.drop": Text("撤销账期", "Take the period back"),
    "billing.drop_hint": Text(
        "只有开放的账期可以撤销；水量不受影响，之后可以重新建立。",
        "Only an open period can be taken back. Volumes stay as they are, and it can be opened anew.",
    ),
    "billing.reason_needed": Text("请填写原因", "give a reason"),
    "billing.ledger": Text("更正台账", "Corrections"),
    "billing.ledger_csv": Text("导出本期更正 CSV", "Its corrections as CSV"),
    "billing.carried_csv": Text("导出随本期结转的更正 CSV", "Carried corrections as CSV"),
    "billing.own": Text("对本期的更正", "Corrections of this period"),
    "billing.no_corrections": Text("没有更正。", "There are none."),
    "billing.found_at": Text("发现时间", "Found"),
    "billing.carried_to": Text("随哪期结转", "Billed with"),
    "billing.corrects": Text("更正的账期", "Corrects"),
    "billing.before": Text("更正前", "Before"),
    "billing.after": Text("更正后", "After"),
    "billing.difference": Text("差额", "Difference"),
    "billing.more_in_file": Text(
        "只显示最早的 {shown} 条，全部见文件。", "The first {shown} are shown; the file has all of them."
    ),
    "billing.done": Text("已完成。", "Done."),
    "billing.refused": Text("无法执行：{why}", "Cannot be done: {why}"),
    "billing.preview": Text("关账预览", "Preview"),
    "billing.computing": Text("正在计算……", "Computing …"),
    "billing.dismiss": Text("关闭窗口", "Dismiss"),
    "billing.not_over": Text("账期的末日尚未结束，还不能关账。", "The last day is not over: it cannot be closed yet."),
    "billing.waiting": Text(
        "还有 {spans} 段新读数等待结算，现在关账将不计入它们。",
        "{spans} spans of new readings wait for settlement; to close now would bill without them.",
    ),
    "billing.estimated_of": Text("{lines} 条，共 {volume}", "{lines} lines, {volume} in all"),
    "billing.incomplete": Text("不完整的条目", "Incomplete lines"),
    "billing.missing_days": Text("缺失天数", "Days missing"),
    "billing.silent": Text("没有任何数据的水表", "Meters without any data"),
    "billing.carried": Text("随本期结转的更正", "Corrections carried with it"),
    "billing.doubtful": Text("需要核查的水表", "Meters to look at"),
    "billing.quality": Text("质量", "Quality"),
    "billing.estimated_days": Text("估算天数", "Days estimated"),
}
