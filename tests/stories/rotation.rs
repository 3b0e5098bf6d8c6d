//! A log's key is rotated under the eyes of two witnesses, by the runbook.

use super::{
    audit::{name_logs, verify},
    collector::Parties,
    server::{Server, poll},
    witness::Witness,
};
use sottovoce_log::note::VerifierKey;
use std::{fs, path::Path, process::Command};

const METRIC: &str = r#"
window = "1 hour"
grace = "1 minute"
min_batch_size = 20

[privacy]
epsilon = 4.0

[metrics.first]
kind = "thumbs"
question = "Did this help?"
"#;

/// Whether a command about the log succeeded, and all that it said.
fn log(server: &Server, command: &str) -> (bool, String) {
    let done = server.run(&["log", command, "-c", server.config.to_str().unwrap()]);
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

/// The keys that sign, oldest first.
fn keys(server: &Server) -> Vec<VerifierKey> {
    let (done, printed) = log(server, "key");
    assert!(done, "{printed}");
    printed.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Has the log cosigned by both from now on.
fn witnessed(server: &Server, witnesses: &[Witness; 2]) {
    let text = fs::read_to_string(&server.config).unwrap();
    let more = witnesses.iter().fold(String::new(), |text, witness| {
        let (url, key) = (witness.url(""), &witness.key);
        format!("{text}[[public_log.witnesses]]\nurl = \"{url}\"\nkey = \"{key}\"\n")
    });
    fs::write(&server.config, format!("{text}\n{more}")).unwrap();
    server.kill();
    server.start();
    cosigned(server);
}

fn cosigned(server: &Server) {
    poll("both cosignatures", || {
        (log(server, "status").1.matches(" has cosigned ").count() == 2).then_some(())
    });
}

fn prove(program: &Path) -> String {
    let output = program.with_extension("proofs");
    let done = Command::new(env!("CARGO_BIN_EXE_sottovoce-auditor"))
        .args(["prove", program.to_str().unwrap(), "--output", output.to_str().unwrap()])
        .output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::read_to_string(output).unwrap()
}

/// Whether a device would believe these proofs of a program's tasks.
fn believed(program: &Path, proofs: &str) -> bool {
    let program = sottovoce_program::Program::read(program).unwrap();
    sottovoce_client::logged::verify(&program, proofs).is_ok()
}

#[test]
fn a_key_is_retired_only_once_all_witnesses_know_the_next() {
    let parties = Parties::asking(METRIC);
    let [_, old] = name_logs(&parties, "required_by = [\"devices\"]");
    let witnesses = ["one.example/witness", "two.example/witness"]
        .map(|name| Witness::of_keys(name, std::slice::from_ref(&old)));
    let helper = &parties.servers[0];
    witnessed(helper, &witnesses);
    let proofs = prove(&parties.program);
    // The first step makes the key. Until the witnesses have it, there is no second one.
    let (begun, said) = log(helper, "rotate-key");
    assert!(begun, "{said}");
    let both = keys(helper);
    let [_, new] = both.as_slice() else { panic!("{said}") };
    assert!(said.contains(&new.to_string()), "{said}");
    let refused = |missing: &str| {
        let (done, said) = log(helper, "rotate-key");
        assert!(!done && said.contains("no key was retired") && said.contains(missing), "{said}");
        assert!(said.contains(&new.to_string()), "the cure: {said}");
        assert_eq!(keys(helper).len(), 2);
        said
    };
    assert!(refused("2 of the log's witnesses").contains("one.example/witness does not cosign"));
    witnesses[0].give(new, &old);
    assert!(!refused("1 of the log's witnesses").contains("one.example/witness does not cosign"));
    witnesses[1].give(new, &old);
    // The programs name both keys before the old one goes.
    let text = fs::read_to_string(&parties.program).unwrap();
    let named = text.replace(&format!("\"{old}\""), &format!("\"{old}\", \"{new}\""));
    fs::write(&parties.program, named).unwrap();
    let (retired, said) = log(helper, "rotate-key");
    assert!(retired && said.contains("retired log key 0") && said.contains("prove"), "{said}");
    assert!(keys(helper).iter().eq([new]), "the new one is left");
    cosigned(helper);
    let (code, outcome, error) = verify(&parties.program, &[]);
    assert_eq!(code, Some(0), "{outcome:#} {error}");
    // Without the old key, what it signed is not believed any more, and what is proved anew is.
    fs::write(&parties.program, text.replace(&old.to_string(), &new.to_string())).unwrap();
    assert!(!believed(&parties.program, &proofs));
    assert!(believed(&parties.program, &prove(&parties.program)));
    let (code, outcome, error) = verify(&parties.program, &[]);
    assert_eq!(code, Some(0), "{outcome:#} {error}");
}
