//! Sessions: the gateway signs for a renter that is away, up to a cap.

use crate::house::{House, units};

#[test]
fn a_detached_run_in_a_session_ends_without_its_renter_and_its_rest_is_free_again() {
    let Some(house) = House::up() else { return };
    let poor = house.plaza(["--json", "wallet", "session", "--cap", "3"]);
    assert_eq!(poor.json()["escrow_balance"], "0", "{poor:?}");
    house.plaza(["--json", "wallet", "deposit", "20"]).succeeded();
    let words = ["wallet", "session", "--cap", "15", "--for", "2h"];
    let told = house.plaza(words).succeeded();
    assert!(told.stdout.contains("you can lose at most"), "{told:?}");
    let granted = house.plaza(["--json", "wallet", "session", "--cap", "15"]).succeeded().json();
    let id = granted["session"].as_str().expect("its id").to_owned();

    let flags = ["--session", &id, "--detach", "--timeout", "10m"];
    let (came, bill) = house.run(&flags, &["sleep", "2"]);
    assert_eq!(came.code(), 0, "{came:?}");
    let job = bill["job"].as_str().expect("its id").to_owned();
    house.wait_for_job(&job, |job| job["state"] == "done");

    let listed = house.plaza(["--json", "wallet", "session", "list"]).succeeded().json();
    let sessions = listed["sessions"].as_array().expect("a list").clone();
    let it = sessions.iter().find(|it| it["session"] == id.as_str()).expect("it is listed");
    assert_eq!((&it["state"], &it["use"]["granted"]), (&"in use".into(), &true.into()), "{it}");
    let used = u128::from(it["use"]["used"].as_u64().expect("a number"));
    let (cap, left) = (units(&it["document"]["cap"]), units(&it["left"]));
    assert!(used > 0 && used < 100_000, "two seconds cost little: {it}");
    assert_eq!(left, cap - used, "{it}");

    house.plaza(["wallet", "session", "revoke", &id]).succeeded();
    let (refused, _) = house.run(&["--session", &id, "--timeout", "10m"], &["true"]);
    assert!(refused.stderr.contains("is revoked"), "{refused:?}");
}
