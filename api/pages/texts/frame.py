"""Words of what surrounds every page, and of the login."""

from __future__ import annotations

from api.pages.texts.text import Text

FRAME: dict[str, Text] = {
    "frame.product": Text("智能水表平台", "Smart meter platform"),
    "frame.skip": Text("跳到正文", "Skip to the content"),
    "frame.menu": Text("打开或收起菜单", "Open or close the menu"),
    "frame.navigation": Text("主菜单", "Main menu"),
    "frame.overview": Text("运行总览", "Overview"),
    "frame.meters": Text("水表", "Meters"),
    "frame.districts": Text("分区计量", "Districts"),
    "frame.alerts": Text("告警", "Alerts"),
    "frame.commands": Text("指令", "Commands"),
    "frame.campaigns": Text("固件升级", "Firmware"),
    "frame.dead_letters": Text("异常报文", "Dead letters"),
    "frame.unknown_devices": Text("未知设备", "Unknown devices"),
    "frame.completeness": Text("抄表成功率", "Completeness"),
    "frame.billing": Text("账期", "Billing"),
    "frame.path": Text("数据路径", "Data path"),
    "frame.api": Text("接口文档", "API reference"),
    "frame.logout": Text("退出登录", "Log out"),
    "frame.language": Text("English", "中文"),
    "frame.language_label": Text("Switch to English", "切换为中文"),
    "frame.to_dark": Text("切换为深色界面", "Switch to the dark theme"),
    "frame.to_light": Text("切换为浅色界面", "Switch to the light theme"),
    "frame.live": Text("实时", "Live"),
    "frame.live_label": Text("数据更新状态", "State of the data"),
    "frame.live_age": Text("{age}前更新", "updated {age} ago"),
    "frame.live_now": Text("刚刚更新", "updated just now"),
    "frame.live_stale": Text("数据已{age}未更新", "no update for {age}"),
    "frame.seconds_short": Text(" 秒", " s"),
    "frame.minutes_short": Text(" 分钟", " min"),
    "frame.signed_in": Text("{login}（{role}）", "{login} ({role})"),
    "frame.role.administrator": Text("管理员", "administrator"),
    "frame.role.engineer": Text("工程师", "engineer"),
    "frame.role.operator": Text("值班员", "operator"),
    "frame.role.viewer": Text("只读用户", "viewer"),
    "frame.data_failed": Text(
        "暂时读不到数据库，页面上是最后一次读到的数据；恢复后会自动更新。",
        "The database cannot be read right now. What you see is the last that was read; it updates by itself.",
    ),
    "frame.data_failed_first": Text(
        "暂时读不到数据库。请稍后刷新；若持续出现，请检查数据库与 /readyz。",
        "The database cannot be read right now. Reload in a moment; if it stays so, check the database and /readyz.",
    ),
    "frame.forbidden": Text("查看此页需要值班员或以上权限。", "This page is shown to operators and above."),
    "frame.not_found": Text("没有这个页面", "There is no such page"),
    "frame.not_found_hint": Text("请从左侧菜单选择，或检查地址。", "Choose from the menu, or check the address."),
    "frame.older": Text("下一页", "Next page"),
    "frame.first": Text("第一页", "First page"),
    "frame.all": Text("全部", "All"),
    "frame.and": Text("；", "; "),
    "frame.comma": Text("、", ", "),
    "frame.cancel": Text("取消", "Cancel"),
    "login.title": Text("登录", "Log in"),
    "login.login": Text("用户名", "User name"),
    "login.password": Text("密码", "Password"),
    "login.submit": Text("登录", "Log in"),
    "login.error.credentials": Text("用户名或密码不正确。", "User name or password is wrong."),
    "login.error.throttled": Text("尝试次数过多，请稍等再试。", "Too many attempts. Wait a moment, then try again."),
    "login.error.unavailable": Text("数据库暂时不可用，请稍后再试。", "The database is away. Try again in a moment."),
    "login.hint": Text(
        "首次启动时，平台在终端打印一次性的管理员密码。",
        "On its first start the platform prints a one-time administrator password on the terminal.",
    ),
    "password.title": Text("修改密码", "Change the password"),
    "password.must": Text(
        "这是一次性密码，请先设置自己的密码。", "This was a one-time password. Choose one of your own to go on."
    ),
    "password.current": Text("当前密码", "Present password"),
    "password.new": Text("新密码", "New password"),
    "password.submit": Text("保存新密码", "Save the new password"),
    "password.error.credentials": Text("当前密码不正确。", "The present password is wrong."),
    "password.error.weak": Text(
        "新密码须至少 {least} 个字符，且与当前密码不同。",
        "A new password has at least {least} characters and is not the present one.",
    ),
    "password.error.unavailable": Text(
        "数据库暂时不可用，请稍后再试。", "The database is away. Try again in a moment."
    ),
}
