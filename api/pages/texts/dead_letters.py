"""Words of the dead letters: reports that could not be taken."""

from __future__ import annotations

from api.pages.texts.text import Text

DEAD_LETTERS: dict[str, Text] = {
    "dead_letters.intro": Text(
        "这些报文已完整保存，但无法计入水表。请按原因联系登记人员或工程师；"
        "修好后由工程师运行 nbwater dead-letters replay 重新处理。",
        "These reports are kept whole but could not be taken. Once the decoder or the registration is mended, run: "
        "nbwater dead-letters replay",
    ),
    "dead_letters.empty": Text(
        "没有异常报文：收到的报文都能识别并入库。", "No dead letters: every report could be read and stored."
    ),
    "dead_letters.none_found": Text("没有符合条件的报文。", "No report matches."),
    "dead_letters.reason": Text("原因", "Reason"),
    "dead_letters.message": Text("技术说明（英文）", "Message"),
    "dead_letters.device": Text("设备", "Device"),
    "dead_letters.received": Text("收到时间", "Received"),
    "dead_letters.format": Text("内容格式", "Content format"),
    "dead_letters.attempts": Text("重试次数", "Attempts"),
    "dead_letters.raw": Text("原始报文（{bytes} 字节，十六进制）", "Raw bytes ({bytes}, hexadecimal)"),
    "dead_letters.was_replayed": Text("已重新处理", "replayed"),
    "dead_letters.device_search": Text("设备（IMEI 或表号）", "Device (IMEI or serial)"),
    "dead_letters.open": Text("待处理", "waiting"),
    "dead_letters.replayed": Text("已于 {time} 重新处理", "replayed {time}"),
}
