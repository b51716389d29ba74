//! Tests of quotes: ranking, prices of parts, reasons.

use std::collections::BTreeSet;

use primitives::{B256, BasisPoints, Bytes, Fuel, Millicores, PeerId};

use super::*;
use crate::machine::{Root, Wasm};

const TOKEN: Address = Address::repeat_byte(5);
const NOW: UnixSeconds = UnixSeconds(100);

fn offer(cores: u64, dollars: u128) -> Offer {
    Offer {
        provider: Address::repeat_byte(2),
        provider_key: Address::repeat_byte(4),
        peer: PeerId("peer".into()),
        machine: Machine {
            resources: Resources {
                cpu: Millicores::cores(cores),
                memory: Bytes::gibi(8),
                disk: Bytes::gibi(100),
                gpus: 0,
            },
            divisible: true,
            os: "linux".into(),
            arch: "x86_64".into(),
            cpu_model: None,
            gpu_models: None,
            host_root: true,
            wasm: true,
            isolation: BTreeSet::new(),
        },
        rate: Rate::per_hour(dollars * 1_000_000).expect("small"),
        token: TOKEN,
        sla: B256::ZERO,
        region: String::new(),
        sequence: 1,
        valid_until: UnixSeconds(1_000),
    }
}

fn inquiry(cores: u64, memory: u64) -> Inquiry {
    Inquiry {
        wish: Wish::of(Resources {
            cpu: Millicores::cores(cores),
            memory: Bytes::gibi(memory),
            ..Resources::default()
        }),
        time_limit: Seconds(3_600),
        max_rate: None,
        token: TOKEN,
    }
}

fn ask(offers: &[Offer], inquiry: &Inquiry) -> Quote {
    let book = offers.iter().enumerate().map(|(at, offer)| (Digest::of(&at.to_be_bytes()), offer));
    quote(book, inquiry, &Rules::default(), NOW)
}

#[test]
fn the_cheapest_serving_offer_comes_first_with_price_and_hold() {
    let answer = ask(&[offer(4, 4), offer(4, 2), offer(8, 3)], &inquiry(2, 2));
    let rates: Vec<u128> = answer.ranked.iter().map(|one| one.rate.units_per_hour()).collect();
    assert_eq!(rates, [750_000, 1_000_000, 2_000_000]);
    assert_eq!(answer.ranked[0].full_price.units(), 750_000);
    assert_eq!(answer.ranked[0].hold.units(), 900_000, "20 % more is put aside");
}

#[test]
fn a_part_costs_its_largest_share_of_the_machine() {
    let answer = ask(&[offer(4, 4)], &inquiry(1, 6));
    assert_eq!(answer.ranked[0].rate.units_per_hour(), 3_000_000, "six of eight GiB");
}

#[test]
fn a_machine_that_cannot_be_divided_is_sold_whole() {
    let mut whole = offer(4, 4);
    whole.machine.divisible = false;
    let answer = ask(&[whole.clone()], &inquiry(1, 1));
    assert_eq!(answer.ranked[0].rate, whole.rate);
    assert_eq!(answer.ranked[0].resources, whole.machine.resources);
}

#[test]
fn nothing_fitting_is_answered_with_a_count_for_each_dimension() {
    let mut foreign = offer(64, 4);
    foreign.token = Address::ZERO;
    let mut old = offer(64, 4);
    old.valid_until = NOW;
    let answer = ask(&[offer(4, 4), offer(2, 4), foreign, old], &inquiry(16, 16));
    assert!(answer.ranked.is_empty());
    assert_eq!(answer.considered, 4);
    let expected = [
        (Dimension::Cpu, 2),
        (Dimension::Memory, 4),
        (Dimension::Token, 1),
        (Dimension::Expired, 1),
    ];
    assert_eq!(answer.rejected, expected.into_iter().collect());
}

#[test]
fn what_is_unknown_never_satisfies_a_wish() {
    let mut wanting = inquiry(1, 1);
    wanting.wish.region = Some("eu".into());
    wanting.wish.gpu_model = Some("H200".into());
    let answer = ask(&[offer(4, 4)], &wanting);
    let expected = [(Dimension::Region, 1), (Dimension::GpuModel, 1)];
    assert_eq!(answer.rejected, expected.into_iter().collect());
}

#[test]
fn a_model_wished_is_that_of_every_graphics_processor() {
    let mut wanting = inquiry(1, 1);
    wanting.wish.resources.gpus = 1;
    wanting.wish.gpu_model = Some("h200".into());
    let with = |models: &[&str]| {
        let mut offer = offer(4, 4);
        offer.machine.resources.gpus = u32::try_from(models.len()).expect("few");
        offer.machine.gpu_models = Some(models.iter().map(|it| (*it).to_owned()).collect());
        offer
    };
    let answer = ask(&[with(&["NVIDIA H200", "NVIDIA H200"])], &wanting);
    assert_eq!(answer.ranked[0].resources.gpus, 1);
    assert_eq!(answer.ranked[0].rate.units_per_hour(), 2_000_000, "one of two");
    let answer = ask(&[with(&["NVIDIA H200", "NVIDIA L4"]), with(&[])], &wanting);
    let expected = [(Dimension::Gpu, 1), (Dimension::GpuModel, 2)];
    assert_eq!(answer.rejected, expected.into_iter().collect());
}

#[test]
fn an_excluded_provider_serves_nobody_who_excludes_it() {
    let mut picky = inquiry(1, 1);
    let (one, mut other) = (offer(4, 4), offer(4, 5));
    other.provider = Address::repeat_byte(0x99);
    picky.wish.exclude.insert(one.provider);
    let answer = ask(&[one, other.clone()], &picky);
    assert_eq!(answer.rejected, [(Dimension::Provider, 1)].into_iter().collect());
    assert_eq!(answer.ranked[0].provider, other.provider);
}

#[test]
fn a_module_goes_where_modules_are_executed() {
    let mut portable = inquiry(1, 1);
    portable.wish.root = Root::Wasm(Wasm { fuel: Some(Fuel(9)), deterministic: true });
    let mut one = offer(4, 4);
    one.machine.wasm = false;
    let answer = ask(&[one, offer(4, 5)], &portable);
    assert_eq!(answer.rejected, [(Dimension::Root, 1)].into_iter().collect());
    assert_eq!(answer.ranked.len(), 1);
    let text = serde_json::to_value(&portable.wish).expect("plain");
    assert_eq!(text["root"]["wasm"], serde_json::json!({ "fuel": 9, "deterministic": true }));
}

#[test]
fn dearer_than_allowed_is_a_reason_of_its_own() {
    let mut thrifty = inquiry(2, 2);
    thrifty.max_rate = Rate::per_hour(1_999_999);
    assert_eq!(
        ask(&[offer(4, 4)], &thrifty).rejected,
        [(Dimension::Price, 1)].into_iter().collect()
    );
    thrifty.max_rate = Rate::per_hour(2_000_000);
    assert_eq!(ask(&[offer(4, 4)], &thrifty).ranked.len(), 1);
    assert_eq!(Rules::default().hold_buffer, BasisPoints(2_000));
}
