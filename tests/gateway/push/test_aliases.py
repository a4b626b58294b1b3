from __future__ import annotations

from gateway.push.aliases import MAX_IDS_OF_DEVICE, MAX_PLATFORM_PRODUCTS, Aliases, Way


def test_both_ways_and_the_newest_wins() -> None:
    aliases = Aliases()
    aliases.learn("p1", "imei1", "east", "100")
    aliases.learn("p2", "imei2", "west")
    assert aliases.device("east", "p1") == "imei1"
    assert aliases.way_to("imei1") == Way("east", "p1", "100")
    assert aliases.way_to("imei2") == Way("west", "p2", "")
    aliases.learn("p3", "imei1", "west", "7")
    assert aliases.way_to("imei1") == Way("west", "p3", "7")
    assert aliases.device("east", "p1") == "imei1"
    assert aliases.device("east", "p4") is None
    assert aliases.way_to("nobody") is None


def test_it_is_bounded() -> None:
    aliases = Aliases(maximum=2)
    for number in range(5):
        aliases.learn(f"p{number}", f"d{number}", "east")
    assert len(aliases) == 2
    aliases.learn("p1", "d1", "east", "7")
    assert aliases.way_to("d1") == Way("east", "p1", "7")


def test_a_file_of_them() -> None:
    aliases = Aliases()
    assert aliases.load(["id,device\n", " 8ae9ce12 , 861234567890123 \n", "\n", "broken\n", ",x\n"], "east") == 2
    assert aliases.device("east", "8ae9ce12") == "861234567890123"


def test_what_one_product_says_means_nothing_for_another() -> None:
    aliases = Aliases()
    aliases.learn("p1", "imei1", "east")
    aliases.learn("p1", "imei2", "west")
    assert (aliases.device("east", "p1"), aliases.device("west", "p1")) == ("imei1", "imei2")
    assert aliases.device("south", "p1") is None


def test_a_name_alone_is_no_way_to_a_device() -> None:
    aliases = Aliases()
    aliases.learn("p1", "imei1", "east", is_way=False)
    assert aliases.device("east", "p1") == "imei1"
    assert aliases.way_to("imei1") is None
    aliases.learn("p2", "imei1", "west")
    aliases.learn("p1", "imei1", "east", is_way=False)
    assert aliases.way_to("imei1") == Way("west", "p2", "")


def test_names_that_others_give_a_device_leave_room_for_who_it_is_bound_to() -> None:
    aliases = Aliases()
    for number in range(3 * MAX_IDS_OF_DEVICE):
        aliases.learn(f"x{number}", "d", "stranger", is_way=False)
    aliases.learn("p1", "d", "east")
    assert aliases.way_to("d") == Way("east", "p1", "")


def test_one_device_cannot_take_the_room_of_all() -> None:
    aliases = Aliases()
    for number in range(3 * MAX_IDS_OF_DEVICE):
        aliases.learn(f"p{number}", "d", "east")
    assert len(aliases) == MAX_IDS_OF_DEVICE
    assert aliases.way_to("d") == Way("east", f"p{MAX_IDS_OF_DEVICE - 1}", "")
    aliases.learn("p0", "d", "east")
    assert aliases.way_to("d") == Way("east", "p0", "")


def test_one_product_cannot_take_the_room_of_all_products() -> None:
    aliases = Aliases()
    for number in range(2 * MAX_PLATFORM_PRODUCTS):
        aliases.learn("p", "d", "east", str(number))
    assert aliases.way_to("d") == Way("east", "p", str(MAX_PLATFORM_PRODUCTS - 1))
    aliases.learn("p", "e", "west", "1")
    assert aliases.way_to("e") == Way("west", "p", "1")
