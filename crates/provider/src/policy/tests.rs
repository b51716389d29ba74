//! What a policy file may say, and how it is refused.

use super::*;

fn refusal(text: &str) -> (usize, String, String) {
    match Policy::parse(text, 6).expect_err("it must be refused") {
        Error::Policy { line, field, why } => (line, field, why),
        other => panic!("another error: {other}"),
    }
}

fn rate(units: u128) -> Rate {
    Rate::per_hour(units).expect("small")
}

#[test]
fn the_example_is_a_policy_and_states_the_usual_values() {
    let example = Policy::parse(Policy::EXAMPLE, 6).expect("the example is right");
    let shortest = Policy::parse("[price]\nmachine = \"0.05\"\nfloor = \"0.001\"", 6)
        .expect("all else is usual");
    assert_eq!(example, shortest);
    assert_eq!(example.price, Price::Machine(rate(50_000)));
    assert_eq!(example.floor, rate(1_000));
}

#[test]
fn parts_make_the_price_of_all_that_is_sold() {
    let text = "[price]\ncore = \"0.02\"\nmemory_gib = \"0.002\"\n[share]\nmemory = \"3GiB\"";
    let policy = Policy::parse(text, 6).expect("right");
    let machine = Resources {
        cpu: Millicores(2_500),
        memory: Bytes::gibi(8),
        disk: Bytes::gibi(100),
        gpus: 1,
    };
    let sold = policy.part_of(&machine);
    assert_eq!(sold.memory, Bytes::gibi(3));
    assert_eq!(sold.disk, Bytes::gibi(50));
    assert_eq!(policy.rate_of(&sold), Some(rate(50_000 + 6_000)));
}

#[test]
fn an_amount_above_the_machine_sells_the_machine() {
    let policy = Policy::parse("[price]\nmachine = \"1\"\n[share]\ncpu = \"3.5\"\ngpus = \"4\"", 6)
        .expect("right");
    let machine = Resources { cpu: Millicores(2_000), gpus: 2, ..Resources::default() };
    assert_eq!(policy.part_of(&machine), machine);
}

#[test]
fn a_denied_renter_is_not_served_and_an_allowed_list_is_exclusive() {
    let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let open =
        Policy::parse(&format!("[price]\nmachine = \"1\"\n[renters]\ndeny = [\"{one}\"]"), 6);
    let open = open.expect("right");
    assert!(!open.serves(one) && open.serves(other));
    let closed =
        Policy::parse(&format!("[price]\nmachine = \"1\"\n[renters]\nallow = [\"{one}\"]"), 6);
    let closed = closed.expect("right");
    assert!(closed.serves(one) && !closed.serves(other));
}

#[test]
fn every_refusal_names_line_and_field() {
    let cases = [
        ("[price]\nmachine = \"5 cents\"", 2, "price.machine", "expected a number"),
        ("[price]\nmachine = \"0.0000001\"", 2, "price.machine", "6 decimals"),
        ("[price]\nmachine = 0.05", 2, "price.machine", "expected a string"),
        ("[price]\nmachine = \"1\"\ncore = \"1\"", 3, "price.core", "stands beside"),
        ("# nothing\n[price]\nfloor = \"1\"", 2, "price", "names no price"),
        ("[price]\nmachine = \"1\"\nmashine = \"1\"", 3, "price.mashine", "unknown field"),
        ("[price]\nmachine = \"1\"\n\n[share]\ncpu = \"120%\"", 5, "share.cpu", "0% to 100%"),
        ("[price]\nmachine = \"1\"\n[share]\nmemory = \"lots\"", 4, "share.memory", "size"),
        ("[price]\nmachine = \"1\"\n[limits]\ntime = \"soon\"", 4, "limits.time", "time span"),
        ("[price]\nmachine = \"1\"\n[renters]\ndeny = [\"0x12\"]", 4, "renters.deny", "account"),
    ];
    for (text, line, field, words) in cases {
        let (at, named, why) = refusal(text);
        assert_eq!((at, named.as_str()), (line, field), "{text}: {why}");
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn every_policy_that_we_publish_is_read_and_explains_itself() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies");
    let mut read = Vec::new();
    for entry in std::fs::read_dir(folder).expect("published policies").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a text");
        let name = entry.file_name().to_string_lossy().into_owned();
        let policy = Policy::parse(&text, 6).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.starts_with("# "), "{name} says first what it is for");
        read.push((name, policy));
    }
    read.sort_by(|one, other| one.0.cmp(&other.0));
    let [(_, friends), (_, graphics), (_, home)] = &read[..] else { panic!("{read:?}") };
    let machine =
        Resources { cpu: Millicores::cores(32), memory: Bytes::gibi(512), disk: Bytes(0), gpus: 4 };
    assert_eq!(graphics.rate_of(&graphics.part_of(&machine)), Some(rate(9_152_000)));
    assert_eq!(home.part_of(&machine).gpus, 0);
    assert!(friends.allow.iter().all(|account| friends.serves(*account)));
    assert!(friends.deny.iter().all(|account| !friends.serves(*account)));
    assert!(!friends.serves(Address::repeat_byte(1)));
}
