//! What `--serve` prints: where everything is, what to type next, and each window's figures.

use super::{crowd::CROWD, folder::Folder};
use sottovoce_collector::{present::columns, release::Release};
use sottovoce_program::{Program, format_duration, format_moment};
use std::path::Path;

/// The first text: addresses, files, and the next commands.
pub(super) fn text(program: &Program, folder: &Folder) -> String {
    let path = folder.path().join("program.toml");
    let secrets = folder.path().join("collector.secrets.toml");
    let end = match folder.kept() {
        Some(kept) => format!("stops both servers. The files stay in {}.", kept.display()),
        None => "stops both servers and removes the files.".to_owned(),
    };
    let (program_file, secrets) = (path.display(), secrets.display());
    format!(
        "A leader and a helper are running. Windows last {window}; each one is collected {grace} after it \
         ends.\n{CROWD} devices of the demo report in each window, so that your report is one of a crowd. For \
         trying out only:\nso few reports hide little.\n\n\
         program:  {program_file}\n\
         leader:   {leader}\n\
         helper:   {helper}\n\n\
         Report to it from Rust:\n\n\
         {sample}\n\
         That is examples/first_report.rs. In the repository, run it with\n\n    \
         cargo run --example first_report -- {program_file}\n\n\
         or from C, with bindings/c/examples/first_report.c:\n\n    \
         cargo build -p sottovoce-c\n    \
         cc -DSV_COURIER -D_DEFAULT_SOURCE -I bindings/c/include bindings/c/examples/first_report.c \\\n        \
         -o first_report -L target/debug -lsottovoce_c -Wl,-rpath,target/debug\n    \
         ./first_report {program_file}\n\n\
         Collect a window yourself: asking again for the same window gives the same figures.\n\n    \
         {collector} {program_file} {secrets}\n\n\
         Ctrl-C {end}\n",
        window = format_duration(program.window().seconds()),
        grace = format_duration(program.grace()),
        leader = program.leader(),
        helper = program.helper(),
        sample = sample(&path),
        collector = collector(),
    )
}

/// The lines of the example that report, for the demo's program.
fn sample(program: &Path) -> String {
    let lines = include_str!("../../examples/first_report.rs").lines();
    let from_open = lines.skip_while(|line| !line.contains("Client::open("));
    let body = from_open.take_while(|line| line.trim() != "Ok(())");
    let literal = format!("{:?}", program.to_string_lossy());
    let mut text = format!("    let program = {literal};\n");
    for line in body {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// How to start the collector from here: by its name if it is on the path, else by its place beside this
/// program, else through Cargo.
fn collector() -> String {
    const NAME: &str = "sottovoce-collector";
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(NAME));
    let installed = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| Some(folder.join(NAME)) == beside)
    });
    match beside.filter(|beside| beside.is_file()) {
        Some(_) if installed => NAME.to_owned(),
        Some(beside) => beside.display().to_string(),
        None => format!("cargo run --bin {NAME} --"),
    }
}

/// A window's figures.
pub(super) fn window(release: &Release) -> String {
    let (start, end) = (format_moment(release.period.0), format_moment(release.period.1));
    let own = u64::try_from(CROWD).unwrap_or(u64::MAX).min(release.reports);
    let mut rows = vec!["answer\testimate\t95 % interval".to_owned()];
    for bin in &release.bins {
        let figure = &bin.estimate;
        let (shown, low, high) = (figure.shown(), figure.low, figure.high);
        rows.push(format!("{}\t{shown:.1}\t{low:.1} – {high:.1}", bin.label));
    }
    format!(
        "{} · {start} to {end} · {} reports: {own} from the demo's devices, {} from others\n{}",
        release.name,
        release.reports,
        release.reports - own,
        columns(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_few_lines_that_report_to_the_given_program() {
        let text = sample(Path::new("/tmp/demo/program.toml"));
        assert!((4..=10).contains(&text.lines().count()), "{text}");
        for part in ["= \"/tmp/demo/program.toml\";", "Client::open(", "record(", "deliver_within("]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
