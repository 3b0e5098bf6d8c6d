use super::*;
use sottovoce_dap::codec::Encode;
use sottovoce_log::{
    checkpoint::{Checkpoint, CheckpointError, Signer, TestKey, cosign},
    entry::Entry,
    note::KeyKind,
    tree::{Frontier, Hash},
};
use sottovoce_program::{ProgramKind, template::template};

fn key(role: &str) -> TestKey {
    TestKey::new(&format!("{role}.example/log"), KeyKind::Log, 1)
}

fn witness() -> TestKey {
    TestKey::new("witness.example", KeyKind::Witness, 4)
}

/// The table of a program that names the logs of these tests.
pub(crate) fn table(more: &str) -> String {
    let [leader, helper] = ["leader", "helper"].map(|role| key(role).verifier_key().to_string());
    format!("[log]\nleader = [\"{leader}\"]\nhelper = [\"{helper}\"]\n{more}\n")
}

fn program(more: &str) -> Program {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    Program::parse("program.toml", &format!("{text}\n{}", table(more))).unwrap()
}

fn taken(program: &Program, task: &CompiledTask) -> TaskTaken {
    TaskTaken {
        task: task.task_id,
        configuration: task.configuration.clone(),
        collector: program.collector().clone(),
        noise: task.noise(),
        claims: Vec::new(),
        manifest: task.manifest.to_bytes(),
    }
}

/// The proof of the only entry of a log.
pub(crate) fn proof(role: &str, event: Event, cosigned: bool) -> String {
    let entry = Entry { time: 1, event }.to_bytes();
    let mut tree = Frontier::new();
    tree.push(Hash::leaf(&entry), |_, _, _| {});
    let origin = format!("{role}.example/log");
    let mut checkpoint = Checkpoint::new(&origin, &tree).sign(&[&key(role)]);
    if cosigned {
        let line = cosign(&checkpoint, 7, &witness());
        checkpoint.add([line]);
    }
    Proof { entry, index: 0, hashes: Vec::new(), checkpoint }.to_string()
}

pub(crate) fn proofs(program: &Program, cosigned: bool) -> TaskProofs {
    let one = |task: &CompiledTask| {
        let of = |role| proof(role, Event::Task(Box::new(taken(program, task))), cosigned);
        (task.task_id, TaskProof { leader: of("leader"), helper: of("helper") })
    };
    TaskProofs { tasks: program.tasks().iter().map(one).collect() }
}

fn verified(program: &Program, proofs: &TaskProofs) -> Result<Logged, NotLogged> {
    verify(program, &serde_json::to_string(proofs).unwrap())
}

#[test]
fn tasks_that_both_logs_have_are_proved() {
    let program = program("");
    verified(&program, &proofs(&program, false)).unwrap();
}

/// What differs, and how it comes to.
type Change = (&'static str, fn(&mut TaskTaken));

#[test]
fn a_task_that_a_log_has_otherwise_is_told_by_what_differs() {
    let program = program("");
    let task = &program.tasks()[0];
    let changes: [Change; 4] = [
        ("ID", |taken| taken.task = TaskId::new([1; 32])),
        ("configuration", |taken| taken.configuration.min_batch_size -= 1),
        ("manifest", |taken| taken.manifest.push(b' ')),
        ("aggregator noise", |taken| {
            let scale = sottovoce_privacy::noise::Thousandths::new(4.0).unwrap();
            taken.noise =
                Some(sottovoce_privacy::noise::AggregatorNoise::DiscreteLaplace { scale });
        }),
    ];
    for (what, change) in changes {
        let mut taken = taken(&program, task);
        change(&mut taken);
        let mut proofs = proofs(&program, false);
        let one = proofs.tasks.get_mut(&task.task_id).unwrap();
        one.helper = proof("helper", Event::Task(Box::new(taken)), false);
        let error = verified(&program, &proofs).unwrap_err();
        assert!(
            matches!(&error, NotLogged::Other { what: found, .. } if *found == what),
            "{error}"
        );
        assert!(error.to_string().contains("helper.example/log"), "{error}");
    }
}

#[test]
fn missing_foreign_and_altered_proofs_are_refused() {
    let program = program("");
    let id = program.tasks()[0].task_id;
    let mut proofs_ = proofs(&program, false);
    proofs_.tasks.remove(&id);
    assert!(matches!(verified(&program, &proofs_), Err(NotLogged::Task { .. })));
    let mut proofs_ = proofs(&program, false);
    let one = proofs_.tasks.get_mut(&id).unwrap();
    one.leader.clone_from(&one.helper);
    let error = verified(&program, &proofs_).unwrap_err();
    assert!(matches!(error, NotLogged::Proof { .. }), "{error}");
    let mut proofs_ = proofs(&program, false);
    let one = proofs_.tasks.get_mut(&id).unwrap();
    one.leader = one.leader.replacen("extra A", "extra B", 1);
    assert!(matches!(verified(&program, &proofs_), Err(NotLogged::Proof { .. })));
    for text in ["", "[]", "{\"tasks\":{},\"more\":1}"] {
        assert!(matches!(verify(&program, text), Err(NotLogged::Form(_))), "{text}");
    }
    let without = template(ProgramKind::Feedback, "support").unwrap();
    let without = Program::parse("program.toml", &without).unwrap();
    assert_eq!(verify(&without, "{}"), Err(NotLogged::NoLogs));
}

#[test]
fn as_many_witnesses_as_the_program_asks_for_must_have_seen_the_log() {
    let witness = witness().verifier_key().to_string();
    let program = program(&format!("witnesses = [\"{witness}\"]\nquorum = 1"));
    let error = verified(&program, &proofs(&program, false)).unwrap_err();
    let quorum = ProofError::Checkpoint(CheckpointError::Quorum { found: 0, needed: 1 });
    assert!(matches!(error, NotLogged::Proof { source, .. } if source == quorum));
    verified(&program, &proofs(&program, true)).unwrap();
}

#[test]
fn what_a_program_insists_on_is_insisted_on_and_what_is_given_is_checked() {
    let (asks, insists) = (program(""), program("required_by = [\"devices\"]"));
    let given = serde_json::to_string(&proofs(&asks, false)).unwrap();
    insist(&asks, None).unwrap();
    assert_eq!(insist(&insists, None), Err(NotLogged::Missing));
    for program in [&asks, &insists] {
        insist(program, Some(&given)).unwrap();
        assert!(matches!(insist(program, Some("{}")), Err(NotLogged::Form(_))));
    }
}

#[test]
fn a_key_is_believed_if_its_own_log_says_that_it_came() {
    let config = program("").collector().clone();
    let mut other = config.clone();
    other.id.0 ^= 1;
    let witness = witness().verifier_key().to_string();
    let (plain, watched) =
        (program(""), program(&format!("witnesses = [\"{witness}\"]\nquorum = 1")));
    let check = |program: &Program, role, proof: Option<&str>| {
        let proof = proof.map_or(KeyProof::None, |proof| KeyProof::Given(proof.as_bytes()));
        check_key(role, &config, program.log().unwrap(), proof)
    };
    let came = |config: &HpkeConfig| Event::HpkeKey(KeyChange::Added, config.clone());
    let right = proof("helper", came(&config), false);
    check(&plain, Role::Helper, Some(&right)).unwrap();
    assert_eq!(check(&watched, Role::Helper, Some(&right)), Err(KeyNotLogged::NotYet));
    check(&watched, Role::Helper, Some(&proof("helper", came(&config), true))).unwrap();
    let gone = Event::HpkeKey(KeyChange::Retired, config.clone());
    for (role, wrong) in [
        (Role::Leader, Some(right.as_str())),
        (Role::Helper, Some(proof("helper", came(&other), false).as_str())),
        (Role::Helper, Some(proof("helper", gone, false).as_str())),
        (Role::Helper, Some("<html>")),
        (Role::Helper, None),
    ] {
        let refused = check(&plain, role, wrong).unwrap_err();
        let KeyNotLogged::Refused(NotLogged::Key { role: named, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(named, role);
    }
}
