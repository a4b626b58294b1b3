"""Words of the keys of a meter's device."""

from __future__ import annotations

from api.pages.texts.text import Text

KEYS: dict[str, Text] = {
    "keys.title": Text("设备密钥与推送产品", "Keys and push products of the device"),
    "keys.none": Text(
        "没有密钥：上报不经认证。用 nbwater keys generate 生成。",
        "No key: its reports are not authenticated. Make one with nbwater keys generate.",
    ),
    "keys.kind.oscore": Text("OSCORE 密钥", "OSCORE key"),
    "keys.kind.psk": Text("DTLS 预共享密钥", "DTLS pre-shared key"),
    "keys.kind.mqtt": Text("MQTT 密码", "MQTT password"),
    "keys.valid": Text("有效", "valid"),
    "keys.ending": Text("即将被替换", "being replaced"),
    "keys.expired": Text("已到期", "expired"),
    "keys.ended": Text("已失效", "ended"),
    "keys.made": Text("{who} 于 {time} 创建", "made {time} by {who}"),
    "keys.ends_at": Text("至迟 {time} 失效，新密钥使用后立即失效", "ends {time}, or when the new one is used"),
    "keys.ended_at": Text("{time} 失效：{why}", "ended {time}: {why}"),
    "keys.why.expired": Text("到期", "its time was over"),
    "keys.why.replaced": Text("新密钥已使用", "the new one was used"),
    "keys.why.moved": Text("已转至其他推送产品", "moved to another product"),
    "keys.by.command line": Text("命令行", "command line"),
    "keys.by.import": Text("导入", "import"),
    "keys.by.first report": Text("首次上报", "first report"),
    "keys.by.migration": Text("升级", "upgrade"),
    "keys.pusher": Text("推送产品", "push product"),
    "keys.bound": Text("有效", "bound"),
    "keys.bound_at": Text("{who} 于 {time} 绑定", "bound {time} by {who}"),
    "keys.unbound_at": Text("{who} 于 {time} 解除：{why}", "ended {time} by {who}: {why}"),
}
