"""Words of the evidence of our own leak detector, and of what leaks cost."""

from __future__ import annotations

from api.pages.texts.text import Text

LEAK_EVIDENCE: dict[str, Text] = {
    "evidence.comma": Text("；", "; "),
    "evidence.stop": Text("。", "."),
    "evidence.listed": Text("、", ", "),
    "evidence.leak.steady": Text(
        "{start} 至 {end}：有读数的 {known} 小时里，{met} 小时用水不少于 {level} L；"
        "按本户往常习惯，这些时刻平均只有 {usual} 会用到这么多。",
        "{start} to {end}: of the {known} hours with readings, {met} had at least {level} L; by this "
        "home's habits such hours have that much in {usual} of cases.",
    ),
    "evidence.leak.drip": Text(
        "{start} 至 {end}：每 {together} 小时为一段，有读数的 {known} 段里有 {met} 段用水不少于 {level} L，"
        "几乎没有真正停过；按本户往常习惯，这些时段平均只有 {usual} 会用水。",
        "{start} to {end}, taken {together} hours together: {met} of the {known} stretches with readings had at least "
        "{level} L, so it hardly ever stopped; by this home's habits {usual} of such stretches have.",
    ),
    "evidence.leak.cyclic": Text(
        "{start} 至 {end} 时流时停：有读数的 {known} 小时里，{met} 小时用水不少于 {level} L；"
        "按本户往常习惯，这些时刻平均只有 {usual} 会用到这么多。",
        "{start} to {end}, it comes and goes: of the {known} hours with readings, {met} had at least "
        "{level} L; by this home's habits such hours have that much in {usual} of cases.",
    ),
    "evidence.leak_quiet_hours": Text(
        "其中 {hours} 往常很少用到这么多（平均 {usual}），这次有读数的 {known} 次里有 {met} 次用到了。",
        "At {hours} the home seldom uses so much ({usual} on average); now it did in {met} of {known} with readings.",
    ),
    "evidence.night_minimum": Text(
        "夜间最小时流量：以往 {before}，现在 {now}。", "Least flow of an hour at night: {before} before, {now} now."
    ),
    "evidence.times_needed": Text(
        "证据为判定所需的 {times} 倍", "The evidence is {times} times what it takes to say so"
    ),
    "evidence.chance": Text(
        "若没有漏水、只按往常习惯用水，出现这种情形的概率{chance}",
        "without a leak, by its habits alone, the home would look like this with a chance of {chance}",
    ),
    "evidence.in_hundred": Text("约 {share}", "about {share}"),
    "evidence.one_in": Text("约为 1/{one_in}", "1 in {one_in}"),
    "evidence.rarer": Text("不到十亿分之一", "less than one in a billion"),
    "evidence.hours_counted": Text("共 {hours} 小时的读数参与判断", "{hours} hours of readings were counted"),
    "evidence.clears": Text(
        "怎样算漏水已止：连续 {hours} 小时每小时不超过 {limit}，平台即自动解除；没有读数的小时不算数。",
        "What would clear it: {hours} hours running with no more than {limit} each; hours without reading do not "
        "count.",
    ),
    "evidence.rate": Text("估计漏失 {rate}{interval}，约始于 {start}", "It loses about {rate}{interval} since {start}"),
    "evidence.interval": Text("（{low} 至 {high}）", " ({low} to {high})"),
    "evidence.rate_while_running": Text(
        "时流时停，流时约 {rate}{interval}，约始于 {start}",
        "While it runs it loses about {rate}{interval}, since {start}",
    ),
    "evidence.rate_over": Text(
        "曾漏失约 {rate}{interval}，约 {start} 至 {end}", "It lost about {rate}{interval} from {start} to {end}"
    ),
    "evidence.rate_while_running_over": Text(
        "时流时停，流时约 {rate}{interval}，约 {start} 至 {end}",
        "While it ran it lost about {rate}{interval}, from {start} to {end}",
    ),
    "evidence.lost_over": Text("共漏 {volume}，合 {money}", "{volume} in all, worth {money}"),
    "evidence.lost": Text("至今已漏 {volume}，合 {money}", "{volume} so far, worth {money}"),
    "evidence.lost_a_year": Text(
        "若不处理，一年 {volume}，合 {money}", "a year of it would be {volume}, worth {money}"
    ),
    "evidence.leak_cleared": Text(
        "到 {time} 用水已恢复往常习惯，平台已解除：可能已修好或已关阀，核实后可关闭此告警。",
        "By {time} the home was back to its habits, and the platform cleared it: mended, or shut off. Confirm, then "
        "close this alert.",
    ),
    "evidence.burst": Text(
        "{start} 至 {end} 流量高达 {peak}，是本户以往最高 {own} 的 {times} 倍。",
        "{start} to {end} it ran at up to {peak}, {times} times the most this home ever used ({own}).",
    ),
    "evidence.burst_alone": Text("{start} 至 {end} 流量高达 {peak}。", "{start} to {end} it ran at up to {peak}."),
    "evidence.meter_alarms": Text("水表同时自报：{alarms}。", "The meter itself says at the same time: {alarms}."),
    "evidence.stuck": Text(
        "示数停在 {index}，{still}没有动；本户以往最长停走 {before}。",
        "The register has stood at {index} for {still}; the longest it ever stood still before was {before}.",
    ),
    "evidence.stuck_limit": Text(
        "停走之前的 {days} 天内，本户有 {times} 次几乎不用水；据此停走满 {limit}才告警。",
        " In the {days} days before, next to no water was used {times} times: from {limit} on the meter is taken for "
        "stuck.",
    ),
    "evidence.advice.stuck": Text(
        "有人居住则多为机芯卡死：现场核查、换表并估算漏计水量；长期无人居住的，判为误报并写明原因。",
        "Where people live the register is mostly jammed: inspect and change it, estimate what it missed; where nobody "
        "does, dismiss this and say so.",
    ),
    "evidence.under_registering": Text(
        "最近 {days} 天用水高峰平均 {now}，往常 {usual}，只剩 {share}；而有水流的小时并没有相应减少。",
        "The peaks of the last {days} days were {now}, usually {usual}: {share} of it is left, while water runs in "
        "nearly as many hours.",
    ),
    "evidence.under.all_sizes": Text(
        "最近 {days} 天大小流量同时变小：{sizes}。三档都不到往常的 {limit} 并持续数日才会判定，剩得越少，判定越快；"
        "而每天有水流的小时往常约 {usual_h} 个，现在 {now_h} 个，没有相应减少。",
        "In the last {days} days flows of every size have shrunk: {sizes}. It takes all three below {limit} of what is "
        "usual for days, the fewer the less is left; yet water runs in {now_h} hours a day, usually {usual_h}.",
    ),
    "evidence.under.small": Text(
        "每天的中等小时用水（有水流小时的中位数）往常 {usual}，现在 {now}，剩 {share}",
        "the middle one of a day's hours with flow was {usual}, is {now} ({share} left)",
    ),
    "evidence.under.middling": Text(
        "较大的小时用水（四分之三位数）往常 {usual}，现在 {now}，剩 {share}",
        "the one that three in four stay below was {usual}, is {now} ({share})",
    ),
    "evidence.under.large": Text(
        "高峰小时往常 {usual}，现在 {now}，剩 {share}", "the largest was {usual}, is {now} ({share})"
    ),
    "evidence.advice.under_registering": Text(
        "多为叶轮磨损、滤网堵塞或管道进气使计量偏低：安排校表或换表；用户人数变少也会如此，可先电话核实。",
        "Mostly a worn or blocked meter that counts too little: have it tested or changed. Fewer people at home look "
        "alike: ask first.",
    ),
    "evidence.reverse_flow_at": Text("{start} 示数倒退 {volume}。", "At {start} the register ran back by {volume}."),
    "evidence.reverse_flow": Text(
        "{start} 至 {end} 示数倒退 {volume}。", "From {start} to {end} the register ran back by {volume}."
    ),
    "evidence.gone": Text(
        "{time} 起迹象已消失，核实后可关闭此告警。", "It is gone since {time}. Confirm, then close this alert."
    ),
    "evidence.rules": Text("符合厂家规则：{rules}。", "Makers' rules that hold: {rules}."),
    "evidence.rule.flow_24h": Text("24 小时从不断流", "flow in each of 24 hours"),
    "evidence.rule.flow_3_8": Text("24 小时每小时不少于 3.8 L", "3.8 L in each of 24 hours"),
    "evidence.rule.q3_0_5": Text("24 小时每小时不少于 Q3 的 0.5 %", "0.5 % of Q3 in each of 24 hours"),
}
