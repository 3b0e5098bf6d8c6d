use super::*;
use crate::{
    ProgramKind,
    explain::Explanation,
    kind, log,
    source::At,
    template::template,
    tests::{text_asking, text_of_red_team},
};
use proptest::prelude::*;
use std::sync::LazyLock;

/// A program with dimensions of each kind and a budget.
const EXAMPLE: &str = include_str!("../../../../examples/support-assistant.toml");
static FORM: LazyLock<Vec<u8>> = LazyLock::new(|| compiled(EXAMPLE));

/// With logs, and with each kind of metric.
fn texts() -> [String; 5] {
    let logs = log::tests::logs("required_by = [\"devices\"]\nquorum = 1");
    let [finding, others] = kind::tests::metrics();
    let template = template(ProgramKind::Feedback, "support").unwrap();
    let with_logs = format!("{template}\n{logs}");
    [EXAMPLE.to_owned(), template, with_logs, text_of_red_team(&finding), text_asking(&others)]
}

fn compiled(text: &str) -> Vec<u8> {
    Program::compile_for_devices("program.toml", text).unwrap()
}

/// What a program is, in all that it says.
fn said(program: &Program) -> String {
    format!("{program:?}\n{}", Explanation::of(program))
}

#[test]
fn a_device_has_the_same_program_from_either() {
    for text in texts() {
        let form = compiled(&text);
        let (device, parsed) = (
            Program::from_device_form(&form).unwrap(),
            Program::parse("program.toml", &text).unwrap(),
        );
        assert_eq!(said(&device), said(&parsed));
        assert!(!device.for_users().is_empty());
    }
}

#[test]
fn tasks_keep_the_order_of_the_file() {
    let metrics = ["zebra", "ant", "monkey"]
        .map(|name| format!("[metrics.{name}]\nkind = \"thumbs\"\nquestion = \"{name}?\"\n"));
    let form = compiled(&text_asking(&metrics.concat()));
    let device = Program::from_device_form(&form).unwrap();
    let names: Vec<_> = device.tasks().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["zebra", "ant", "monkey"]);
}

#[test]
fn what_is_no_form_or_another_version_or_damaged_is_told_apart() {
    let form = &*FORM;
    for (bytes, expected) in [
        (Vec::new(), FormError::NoForm),
        (EXAMPLE.as_bytes().to_vec(), FormError::NoForm),
        (form[..MAGIC.len()].to_vec(), FormError::NoForm),
        (form[..MAGIC.len() + 5].to_vec(), FormError::Damaged),
        ([form.as_slice(), b"\0"].concat(), FormError::Damaged),
        ([MAGIC.as_slice(), &[9], &form[MAGIC.len() + 1..]].concat(), FormError::Version(9)),
    ] {
        assert_eq!(Program::from_device_form(&bytes).map(drop), Err(expected));
    }
}

/// With a right checksum, so that what is behind it is reached.
fn sealed(body: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &[VERSION], &checksum(body), body].concat()
}

#[test]
fn a_form_that_promises_what_the_tasks_do_not_is_refused() {
    let body = body_of(&FORM).unwrap().to_vec();
    let (file, known) = decode(&body).unwrap();
    let with = |known: &WorkedOut| {
        let mut body = Vec::new();
        known.write(&mut body).unwrap();
        file.write(&mut body).unwrap();
        Program::from_device_form(&sealed(&body)).map(drop)
    };
    assert_eq!(with(&known), Ok(()));
    let changed = |change: fn(&mut Vec<Vec<Guarantee>>)| {
        let mut guarantees = known.guarantees.clone();
        change(&mut guarantees);
        with(&WorkedOut { tasks: known.tasks, for_users: String::new(), guarantees })
    };
    for change in [
        (|all| all[0][0].epsilon = Epsilon::new(0.125).unwrap()) as fn(&mut Vec<Vec<Guarantee>>),
        |all| all[0].clear(),
        |all| drop(all.pop()),
        |all| all.push(Vec::new()),
    ] {
        assert_eq!(changed(change), Err(FormError::OtherTasks));
    }
    let tasks = [7; 32];
    let other = WorkedOut { tasks, for_users: String::new(), guarantees: known.guarantees.clone() };
    assert_eq!(with(&other), Err(FormError::OtherTasks));
}

#[test]
fn what_a_file_may_not_say_a_form_may_not_either() {
    let body = body_of(&FORM).unwrap().to_vec();
    let (mut file, known) = decode(&body).unwrap();
    file.min_batch_size = At::new(0..0, 1);
    let mut body = Vec::new();
    known.write(&mut body).unwrap();
    file.write(&mut body).unwrap();
    let refused = Program::from_device_form(&sealed(&body)).map(drop).unwrap_err();
    assert!(refused.to_string().contains("must be at least 2"), "{refused}");
}

#[test]
fn a_text_that_a_form_cannot_hold_is_refused_when_it_is_compiled() {
    let question = "?".repeat(codec::MOST + 1);
    let text = EXAMPLE.replacen("question = \"", &format!("question = \"{question}"), 1);
    let refused = Program::compile_for_devices("program.toml", &text).unwrap_err().to_string();
    assert!(refused.contains("at most 65535"), "{refused}");
}

proptest! {
    #[test]
    fn a_form_with_any_byte_changed_or_cut_off_is_refused(
        at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let form = &*FORM;
        let at = at.index(form.len());
        let mut changed = form.clone();
        changed[at] ^= flip;
        prop_assert!(Program::from_device_form(&changed).is_err());
        prop_assert!(Program::from_device_form(&form[..at]).is_err());
    }

    /// Whatever it says, nothing panics.
    #[test]
    fn a_body_with_bytes_changed_is_a_program_or_is_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = body_of(&FORM).unwrap().to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = Program::from_device_form(&sealed(&body)).map(drop);
    }

    #[test]
    fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(Program::from_device_form(&sealed(&garbage)).is_err());
    }
}
