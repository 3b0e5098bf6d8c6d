//! Reports that were accepted and can never count: both sides say how many, and why.

use crate::{
    http::Ask,
    server::{Server, free_port, poll},
    task::sample,
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{hpke::HpkeCiphertext, upload::Report};

/// What was sealed to somebody else, as far as whoever opens it can tell.
fn spoil(sealed: &mut HpkeCiphertext) {
    let mut payload = sealed.payload.as_bytes().to_vec();
    *payload.last_mut().unwrap() ^= 1;
    sealed.payload = payload.try_into().unwrap();
}

#[test]
fn reports_that_do_not_open_are_lost_with_their_reason_on_the_sides_that_noticed() {
    let ports = [free_port(), free_port()];
    let admin = |port| format!("\n[admin]\nlisten = \"127.0.0.1:{port}\"\n");
    let world = World::start(WorldOptions { tables: ports.map(admin), ..Default::default() });
    let measurements = sample(&world.task().configuration.vdaf, 8, &mut seeded(90));
    let mut reports: Vec<Report> = world.reports(&measurements);
    spoil(&mut reports[0].leader_encrypted_input_share);
    spoil(&mut reports[1].helper_encrypted_input_share);
    spoil(&mut reports[2].helper_encrypted_input_share);
    world.upload_all(&reports);
    world.expect(&measurements[3..]);
    let sides: [(&Server, u16, u64); 2] =
        [(&world.leader, ports[0], 3), (&world.helper, ports[1], 2)];
    for (server, port, lost) in sides {
        let told = server.tell(&["reports", "status"]);
        let told = String::from_utf8(told.stdout).unwrap();
        let expected = format!("{lost} lost ({lost} hpke_decrypt_error)");
        assert!(told.contains(&expected), "{told}");
        let told = server.tell(&["reports", "status", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["lost"], serde_json::json!({ "hpke_decrypt_error": lost }));
        let line = |name: &str, more: &str, count: u64| {
            let task = format!("task=\"{}\",name=\"\",program=\"\"", world.task().id);
            format!("sottovoce_{name}_total{{{task}{more}}} {count}")
        };
        let reason = ",reason=\"hpke_decrypt_error\"";
        let stage = format!(",stage=\"aggregation\"{reason}");
        poll("metrics", || {
            let text = Ask::get(&format!("http://127.0.0.1:{port}/metrics")).send().text();
            let lines =
                [line("reports_lost", reason, lost), line("reports_rejected", &stage, lost)];
            lines.iter().all(|line| text.contains(line)).then_some(())
        });
    }
}
