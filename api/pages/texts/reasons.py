"""Words for why a report could not be taken: the stable reasons of decoders and of ingest."""

from __future__ import annotations

from api.pages.texts.text import Text

REASONS: dict[str, Text] = {
    "reason.unknown_device": Text("设备未登记", "device is not registered"),
    "reason.not_installed": Text("设备没有安装记录", "device is not installed anywhere"),
    "reason.meter_mismatch": Text("表号与登记不符", "names another meter"),
    "reason.decoder_error": Text("解码器出错", "the decoder failed"),
    "reason.conflict": Text("与已存读数不一致", "differs from what is stored"),
    "reason.repeat": Text("设备重复发送", "the device sent it again"),
    "reason.implausible_time": Text("读数时间不可信", "its times are not plausible"),
    "reason.index_out_of_register": Text("示数超出水表量程", "more than the register can show"),
    "reason.write_error": Text("写入数据库失败", "the database refused it"),
    "reason.envelope": Text("内部消息无法打开", "an internal message cannot be opened"),
    "reason.error_reply": Text("水表回复出错", "the meter answered with an error"),
    "reason.bcd": Text("数字编码错误", "digits are not BCD"),
    "reason.blocks": Text("读数块有误", "blocks of readings are wrong"),
    "reason.cbor": Text("不是有效的 CBOR", "not valid CBOR"),
    "reason.json": Text("不是有效的 JSON", "not valid JSON"),
    "reason.checksum": Text("校验和错误", "checksum is wrong"),
    "reason.content_format": Text("不支持的内容格式", "content format is not supported"),
    "reason.empty": Text("空报文", "empty"),
    "reason.index_range": Text("示数超出范围", "index is out of range"),
    "reason.length": Text("长度不符", "length is wrong"),
    "reason.marker": Text("帧标记错误", "frame marker is wrong"),
    "reason.no_frame": Text("找不到帧", "no frame found"),
    "reason.request": Text("是命令而非上报", "a request, not a report"),
    "reason.time_range": Text("时间超出范围", "time is out of range"),
    "reason.too_long": Text("报文过长", "too long"),
    "reason.too_many_readings": Text("读数过多", "too many readings"),
    "reason.truncated": Text("报文不完整", "cut short"),
    "reason.unit": Text("单位未知", "unit is unknown"),
    "reason.unrecognised": Text("无法识别的报文", "not recognised"),
    "reason.version": Text("不支持的版本", "version is not supported"),
    "step.gap": Text("读数间隔较长，按时间分摊", "readings far apart, spread over time"),
    "step.negative_step": Text("示数倒退，不计量", "the index went back, not counted"),
    "step.impossible_flow": Text("流量超过水表能力，不计量", "more than the meter can pass, not counted"),
    "step.roll_over": Text("计数器翻转，已续接", "the register rolled over, carried on"),
    "step.spike": Text("个别读数突跳，已剔除", "a single reading stuck out, left out"),
}
