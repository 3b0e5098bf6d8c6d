//! What `deploy/`, the README and the book tell people, held against the programs: commands, metrics, sections, versions.

#![allow(clippy::unwrap_used)]

use sottovoce_aggregator::{
    config::{Config, template},
    metrics::{Described, Format, Metrics},
    store::{BatchingMode, Blob, Datastore, TaskRecord, Timestamp, sqlite::SqliteStore},
    task::{Claim, Task},
};
use sottovoce_dap::{
    hpke::{HpkeConfigId, Suite, native},
    ids::TaskId,
    role::Role,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::TimePrecision,
    vdaf::VerifyKey,
};
use sottovoce_privacy::units::{Delta, Epsilon, TrustModel};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Each command is asked for help: words and flags that its program does not know are errors before
/// that.
#[test]
fn every_command_is_known_to_its_program() {
    let mut commands: Vec<_> = pages().iter().flat_map(|page| in_runbook(&read(page))).collect();
    assert!(commands.len() > 80, "{commands:?}");
    for role in ["leader", "helper"] {
        commands.extend(in_unit(&read(&format!("deploy/systemd/sottovoce-{role}.service"))));
    }
    commands.extend(in_compose(&read("deploy/compose.yaml")));
    let wrong: Vec<_> = commands.iter().filter_map(|command| refused(command)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_no_program_knows_is_found() {
    let runbook = "```sh\n(umask 077; sottovoce-$role hpke turn > x)\n```\n\
                   ```sh\nA='b c' sottovoce-helper hpke list --confg x\n```\n";
    let more = "```sh\nsottovoce init && sottovoce chekc x  # not a command\n\
                cargo run --release -- \\\n    dmeo\ncargo run -- /tmp/program.toml\n```\n";
    assert!(refused(&in_runbook(more).remove(0)).is_none());
    let commands = [in_runbook(runbook), in_runbook(more).split_off(1)].concat();
    assert_eq!(commands.len(), 4, "{commands:?}");
    assert!(commands.iter().all(|command| refused(command).is_some()), "{commands:?}");
}

#[test]
fn alerts_use_metrics_that_are_exported() {
    let (alerts, exported) = (read("deploy/prometheus/alerts.yml"), exported());
    let used: BTreeSet<_> = words(&alerts).filter(|word| word.starts_with("sottovoce_")).collect();
    assert!(used.len() > 5, "{used:?}");
    let unknown: Vec<_> = used.iter().filter(|name| !exported.contains(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {exported:?}");
}

#[test]
fn panels_show_metrics_that_are_exported() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap();
    let mut exported = exported();
    exported.insert("up".to_owned());
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 20);
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let query = target["expr"].as_str().unwrap();
        let is_metric = |word: &&str| {
            ["sottovoce_", "process_"].iter().any(|of| word.starts_with(of)) || *word == "up"
        };
        let named: Vec<_> = words(query).filter(is_metric).collect();
        assert!(!named.is_empty(), "{query}");
        assert!(named.iter().all(|name| exported.contains(*name)), "{query}");
    }
}

/// The table of metrics is what the servers say of them: print it anew when this fails.
#[test]
fn the_runbook_has_every_metric_and_no_other() {
    let runbook = read("deploy/RUNBOOK.md");
    let row = |family: Family| {
        let Family { name, kind, labels, help } = family;
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let help = help.trim_end_matches('.');
        format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
    };
    let table = families().into_iter().map(row).collect::<Vec<_>>().join("\n");
    let (_, rest) =
        runbook.split_once("| metric | type | labels | meaning |\n|---|---|---|---|\n").unwrap();
    let written = rest.split("\n\n").next().unwrap();
    assert!(written.trim_end() == table.trim_end(), "the table has to be\n{table}");
}

#[test]
fn each_alert_is_played() {
    let (alerts, tests) =
        (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts.test.yml"));
    let names: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        // One that is played only where it is silent may be one that never speaks.
        let speaks = format!("alertname: {name}, exp_alerts: [");
        assert!(tests.contains(&speaks), "{name} never speaks in alerts.test.yml");
    }
}

#[test]
fn alerts_speak_when_they_should() {
    let Some(output) = promtool(&["test", "rules", "alerts.test.yml"], "") else { return };
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn prometheus_reads_what_servers_export() {
    let metrics = Metrics::of(Described { role: "leader", ..Described::default() });
    metrics.watch(&task());
    metrics.watch_witness("witness.example");
    let text = metrics.text(Format::Prometheus);
    let Some(output) = promtool(&["check", "metrics"], &text) else { return };
    assert!(output.status.success(), "{output:?}\n{text}");
    let broken = promtool(&["check", "metrics"], "a_total{ 1\n").unwrap();
    assert!(!broken.status.success());
}

/// What Prometheus' own tool says, if it is installed.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("SOTTOVOCE_REQUIRE_PROMTOOL").is_none(), "no promtool");
        println!("skipped: there is no promtool; Debian has it in the package prometheus");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn each_alert_names_a_section_of_the_runbook() {
    let (alerts, runbook) = (read("deploy/prometheus/alerts.yml"), read("deploy/RUNBOOK.md"));
    let named: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    assert_eq!(named.len(), alerts.matches("- alert: ").count());
    for section in named {
        let section = section.trim_matches('"');
        let heads = |line: &str| line.trim_start_matches('#').trim() == section;
        let found = runbook.lines().any(|line| line.starts_with("##") && heads(line));
        assert!(found, "the runbook has no section {section:?}");
    }
}

#[test]
fn links_within_the_runbook_lead_somewhere() {
    let runbook = read("deploy/RUNBOOK.md");
    let anchors: BTreeSet<_> =
        runbook.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let links = runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    let lost: Vec<_> = links.filter(|link| !anchors.contains(*link)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// The parser itself says which keys it knows, when it meets one that it does not.
fn keys(table: &str) -> Vec<String> {
    let least = "listen = \"127.0.0.1:0\"\ndatabase = \"db\"\ndatabase_key = \"key\"\n";
    let text = match table {
        "" => format!("unknown_key = 1\n{least}"),
        "public_log.witnesses" => format!("{least}[[public_log.witnesses]]\nunknown_key = 1\n"),
        table => format!("{least}[{table}]\nunknown_key = 1\n"),
    };
    let config = Config::from_text(Path::new("leader.toml"), &text, std::iter::empty());
    let said = config.unwrap_err().to_string();
    let expected = said.split("expected").nth(1).unwrap_or_else(|| panic!("{table}: {said}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All tables of a configuration, and the keys in them.
fn all_keys() -> Vec<(String, String)> {
    let tables = [
        "",
        "tls",
        "admin",
        "admin.tls",
        "traces",
        "peer",
        "peer.identity",
        "cors",
        "limits",
        "aggregation",
        "hpke",
        "retention",
        "public_log",
        "public_log.witnesses",
    ];
    let is_table = |key: &str| tables.contains(&key);
    let all = tables
        .iter()
        .flat_map(|table| keys(table).into_iter().map(|key| ((*table).to_owned(), key)));
    let path = |table: &str, key: &str| format!("{table}.{key}").trim_start_matches('.').to_owned();
    all.filter(|(table, key)| !is_table(&path(table, key))).collect()
}

#[test]
fn each_key_that_the_parser_knows_is_in_the_templates_and_in_the_runbook() {
    let (all, runbook) = (all_keys(), read("deploy/RUNBOOK.md"));
    assert!(all.len() > 45, "{all:?}");
    let section = runbook.split("## Keys of the configuration").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for role in ["leader", "helper"] {
        let written = written_keys(&template::text(role));
        for (table, key) in &all {
            let path = format!("{table}.{key}").trim_start_matches('.').to_owned();
            // Only the leader cuts aggregation into jobs.
            let elsewhere = role == "helper" && table == "aggregation";
            // Refused: operators show a token.
            if path == "admin.tls.peer_ca" {
                continue;
            }
            assert!(elsewhere || written.contains(&path), "{path} is not in the {role}'s template");
            assert!(section.contains(&format!("`{path}`")), "{path} is not in the runbook");
        }
    }
}

/// The keys of a configuration, also of what is commented out.
fn written_keys(text: &str) -> BTreeSet<String> {
    let (mut keys, mut table) = (BTreeSet::new(), String::new());
    for line in text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim_matches(['[', ']']).clone_into(&mut table);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' '))
        {
            keys.insert(format!("{table}.{key}").trim_start_matches('.').to_owned());
        }
    }
    keys
}

#[test]
fn the_image_is_built_with_the_version_that_cargo_toml_names() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let from = format!("/rust:{}-", version.trim_matches('"'));
    assert!(read("deploy/Containerfile").contains(&from), "no {from}");
}

/// Cargo reads no manifest that names a target whose file is missing.
#[test]
fn the_image_is_built_from_every_folder_that_cargo_toml_names() {
    let (manifest, image) = (read("Cargo.toml"), read("deploy/Containerfile"));
    for (table, folder) in [("bench", "benches"), ("example", "examples"), ("bin", "src")] {
        let is_named = manifest.contains(&format!("[[{table}]]"));
        let is_copied = image.contains(&format!("\nCOPY {folder} ./{folder}\n"));
        assert!(is_copied || !is_named, "no COPY of {folder}");
    }
}

#[test]
fn the_trial_publishes_no_admin_door() {
    let compose = read("deploy/compose.yaml");
    let published: Vec<_> = compose.lines().filter(|line| line.contains("ports:")).collect();
    assert_eq!(published.len(), 2);
    assert!(published.iter().all(|line| !line.contains("908")), "{published:?}");
}

/// What a program says against a command, if anything.
fn refused(command: &[String]) -> Option<String> {
    let program = match command[0].rsplit('/').next().unwrap() {
        "sottovoce" => env!("CARGO_BIN_EXE_sottovoce"),
        "sottovoce-leader" => env!("CARGO_BIN_EXE_sottovoce-leader"),
        "sottovoce-helper" => env!("CARGO_BIN_EXE_sottovoce-helper"),
        "sottovoce-collector" => env!("CARGO_BIN_EXE_sottovoce-collector"),
        "sottovoce-auditor" => env!("CARGO_BIN_EXE_sottovoce-auditor"),
        other => return Some(format!("there is no program {other}")),
    };
    let output = Command::new(program).args(&command[1..]).arg("--help").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{}: {said}", command.join(" ")))
}

/// Pages with commands, from the repository's root.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "deploy/RUNBOOK.md".to_owned()];
    for folder in ["docs/src", "docs/src/tutorial"] {
        let listed = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(
            names
                .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
                .map(|name| format!("{folder}/{name}")),
        );
    }
    pages
}

/// Our commands in a page's blocks for the shell, also within loops and parentheses.
fn in_runbook(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut in_shell = false;
    let text = text.replace("\\\n", " ");
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            in_shell = line == "```sh";
        } else if in_shell {
            commands.extend(in_shell_line(line));
        }
    }
    commands
}

fn in_shell_line(line: &str) -> Vec<Vec<String>> {
    let mut line = line.replace("$role", "leader");
    // From the repository; an app of somebody else's runs without `--release`.
    for ours in ["cargo run --release -- ", "cargo run --locked --release -- "] {
        line = line.replace(ours, "sottovoce ");
    }
    let words = shell_words(&line);
    let words: Vec<_> = words.into_iter().take_while(|word| !word.starts_with('#')).collect();
    let ends =
        |word: &String| [">", "|", "&", ";", ")", "<"].iter().any(|end| word.starts_with(end));
    // Ours may come behind `umask`, `docker … exec` and the like; what follows a sign is not ours.
    let commands = words.split(ends).filter_map(|words| {
        let program = words.iter().position(|word| is_ours(word))?;
        Some(words[program..].to_vec())
    });
    // What the shell puts in is not known here.
    commands.filter(|words| !words.iter().any(|word| word.contains("$("))).collect()
}

fn is_ours(word: &str) -> bool {
    ["", "-leader", "-helper", "-collector", "-auditor"]
        .iter()
        .any(|end| word == format!("sottovoce{end}"))
}

/// Words as the shell splits them, as far as the runbook goes: quotes hold together, signs stand
/// alone.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            (' ', None) => words.push(std::mem::take(&mut word)),
            ('(' | ')' | ';' | '|' | '&' | '<' | '>', None) => {
                words.extend([std::mem::take(&mut word), letter.to_string()]);
            }
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn in_unit(text: &str) -> Vec<Vec<String>> {
    let started = |line: &str| Some(line.strip_prefix("Exec")?.split_once('=')?.1.to_owned());
    let commands = text.lines().filter_map(started);
    commands.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn in_compose(text: &str) -> Vec<Vec<String>> {
    let lists = text.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    lists.map(|list| serde_json::from_str(list).unwrap()).collect()
}

/// A family of metrics, as a server exports it.
struct Family {
    name: String,
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// Every family that a server exports, of one that has a task with a claim, a witness, a peer and certificates.
fn families() -> Vec<Family> {
    let metrics = Metrics::of(Described { role: "leader", ..Described::default() });
    metrics.watch(&task());
    metrics.watch_witness("witness.example");
    metrics.peer_fails("https://helper.example", Duration::ZERO);
    metrics.clock_skew("https://helper.example", 0.0);
    metrics.certificate("server", 0);
    metrics.collections_wait("not_aggregated", 0, 0);
    metrics.look(&store_with(&task()), Timestamp(1)).unwrap();
    let text = metrics.text(Format::Prometheus);
    let (mut families, mut help) = (Vec::<Family>::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap().1;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (name, kind, help) = (name.to_owned(), kind.to_owned(), help.to_owned());
            families.push(Family { name, kind, labels: BTreeSet::new(), help });
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split("=\"").filter_map(|part| part.rsplit([',', '"']).next());
            let names = names.filter(|name| !name.contains(' ') && *name != "le");
            families.last_mut().unwrap().labels.extend(names.map(str::to_owned));
        }
    }
    assert!(families.len() > 40, "{text}");
    families
}

fn store_with(task: &Task) -> SqliteStore {
    let store = SqliteStore::in_memory().unwrap();
    let [public, sealed] = [b"public", b"sealed"].map(|bytes| Blob::from(&bytes[..]));
    let mode = BatchingMode::TimeInterval;
    store.put_task(&TaskRecord { id: task.id, mode, public, sealed }).unwrap();
    store
}

fn task() -> Task {
    let configuration = TaskConfiguration {
        task_info: b"counted".to_vec().try_into().unwrap(),
        leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
        helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
        time_precision: TimePrecision::from_seconds(3600).unwrap(),
        min_batch_size: 100,
        batch_mode: BatchMode::TimeInterval,
        vdaf: VdafConfig::Prio3Count,
        task_interval: None,
    };
    let collector = native::generate(HpkeConfigId(9), Suite::DEFAULT).unwrap().config;
    let (id, key) = (TaskId::new([7; 32]), VerifyKey::new([7; 32]));
    let claim =
        Claim { trust: TrustModel::Oaoc, epsilon: Epsilon::new(1.0).unwrap(), delta: Delta::ZERO };
    let task = Task::new(Role::Leader, id, configuration, collector, None, key).unwrap();
    task.described("helpful", vec![claim], Vec::new())
}

/// The names of all series.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Family { name, kind, .. } in families() {
        if kind == "histogram" {
            names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
        names.insert(name);
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
