"""What the platform itself writes beside people's words, in Chinese: why a command or a campaign went as it did. In
English it is what is stored. What a device or an operator's platform answers stays in its own words.
"""

from __future__ import annotations

from api.pages.texts.phrases import Phrases

REMARKS: Phrases = (
    (r"approved", "复核通过"),
    (r"campaign (?P<number>\d+), wave (?P<wave>\d+)", "第 {number} 号升级，第 {wave} 批"),
    (r"the campaign was stopped", "升级已停止"),
    (r"(?P<failed>\d+) of (?P<ended>\d+) failed", "有结果的 {ended} 只中 {failed} 只失败"),
    (r"report (?P<id>\S+)", "报文 {id}"),
    (r"the customer became critical: the valve is not closed", "用户已列为重要用户，不再关阀"),
    (r"the customer became critical: .*; the meter had been told already",
     "用户已列为重要用户，不再关阀；但指令此前已下发给水表"),
    (r"the device offers no object (?P<number>\d+)", "设备没有对象 {number}"),
    (r"the device offers nothing that is observed", "设备没有可观察的资源"),
    (r"no path can be read", "没有一个路径可以读取"),
    (r"update result (?P<number>\d+): (?P<update_result>.+)", "升级结果 {number}：{update_result}"),
    (r"(?P<code>\d\.\d\d) to (?P<path>/[\d/]*)", "访问 {path} 得到 {code}"),
    (r"(?P<platform>\S+): taken back from its queue", "{platform}：已从其队列撤回"),
    (r"(?P<platform>\S+): its product or its commands are not .*", "{platform}：已不再配置该产品或其指令"),
    (r"(?P<platform>\S+): the platform has no call for it: .*", "{platform}：该平台不能撤回，指令在其到期时失效"),
    (r"(?P<platform>\S+): the platform's answer is no JSON", "{platform}：平台的应答不是 JSON"),
    (r"(?P<platform>\S+): it is (?P<status>.*)", "{platform}：状态为 {status}"),
)  # fmt: skip
