//! An app developer's first ten minutes: `sottovoce demo --serve`, and the program of the front page.

use super::server::{PATIENCE, poll};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Instant,
};

const SAMPLE: &str = "examples/first_report.rs";

/// The demo's process, and the lines that it prints. It is killed when dropped, so that a failing test
/// leaves nothing behind.
struct Demo {
    process: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Demo {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_sottovoce"))
            .args(["demo", "--serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { process, lines, said: Vec::new() }
    }

    /// The next line with these words.
    fn line(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{words:?} not in:\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// What is written after a heading of its first text.
    fn value(&mut self, heading: &str) -> String {
        self.line(&[heading]).split_once(heading).unwrap().1.trim().to_owned()
    }

    /// As Ctrl-C or a service manager would end it.
    fn terminate(&mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_program_of_the_front_page_reports_to_the_demo_and_is_counted() {
    let mut demo = Demo::start();
    let program = PathBuf::from(demo.value("program:"));
    let leader = demo.value("leader:");
    let helper = demo.value("helper:");
    demo.line(&["Ctrl-C"]);
    assert_eq!(sottovoce_program::Program::read(&program).unwrap().leader().as_str(), leader);

    let first = report(&program);
    assert!(first.contains("answer: kept on this device until its window is over\n"), "{first}");
    let delivered =
        first.lines().find(|line| line.contains("\"Did this answer help?\": 1 delivered"));
    // The window that the report says it is in has one report more than the demo's own.
    let start =
        delivered.and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("{first}"));
    let window = demo.line(&["helpful", start]);
    assert!(window.ends_with("41 reports: 40 from the demo's devices, 1 from others"), "{window}");
    demo.line(&["answer", "estimate"]);

    demo.terminate();
    demo.line(&["Both servers have stopped."]);
    let status = poll("the demo's end", || demo.process.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(!program.exists(), "the folder is removed");
    for url in [leader, helper] {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        assert!(TcpStream::connect(address).is_err(), "{address} still listens");
    }
}

/// Runs the front page's program, which waits for its window to end.
fn report(program: &Path) -> String {
    let output: Output = Command::new(sample()).arg(program).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
    said
}

/// The example's binary. `cargo test` builds examples by itself, `cargo test --test stories` does not.
fn sample() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let folder = built.parent().unwrap().parent().unwrap().join("examples");
    let binary = folder.join(format!("first_report{}", std::env::consts::EXE_SUFFIX));
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if changed(&binary) < changed(&root().join(SAMPLE)) {
        let build = ["build", "--locked", "--offline", "--example", "first_report"];
        let status = Command::new(env!("CARGO")).args(build).current_dir(root()).status().unwrap();
        assert!(status.success(), "the example does not build");
    }
    binary
}

/// Whoever copies a page has what is tested here.
#[test]
fn pages_have_the_example_byte_for_byte_with_the_crates_that_it_names() {
    for (page, block, example) in [
        ("README.md", "rust", SAMPLE),
        ("docs/src/embedding.md", "rust", SAMPLE),
        ("docs/src/embedding.md", "c", "bindings/c/examples/first_report.c"),
    ] {
        let code = read(example);
        // Without the comment for whoever reads the file.
        let first = code.find("\nuse ").or_else(|| code.find("\n#include ")).unwrap();
        let blocks = blocks(&read(page), block);
        assert!(blocks.contains(&code[first + 1..].to_owned()), "{page} differs from {example}");
    }
    let code = read(SAMPLE);
    for page in ["README.md", "docs/src/embedding.md"] {
        let named = blocks(&read(page), "toml").concat();
        let used = code.split("sottovoce_").skip(1);
        let used = used.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap());
        for used in used {
            let line =
                format!("\nsottovoce-{used} = {{ path = \"../sottovoce/crates/{used}\" }}\n");
            assert!(named.contains(&line), "{page} does not name {line}");
        }
    }
}

/// The blocks of code of a language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let rest = page.split(&fence).skip(1);
    rest.map(|rest| rest.split("```\n").next().unwrap().to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
