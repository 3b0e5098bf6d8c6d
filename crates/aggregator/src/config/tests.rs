use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, &[])
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Config::from_text(Path::new("/etc/leader.toml"), text, variables)
}

const LEAST: &str = "listen = \"127.0.0.1:0\"\ndatabase = \"db\"\ndatabase_key = \"key\"\n\
                     secrets = \"secrets.toml\"\n";

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(LEAST).unwrap();
    let secrets = config.secrets.unwrap();
    assert!(secrets.is_absolute() && secrets.ends_with("secrets.toml"));
    assert!(matches!(config.database, Database::Sqlite(path) if path.is_absolute()));
}

#[test]
fn a_credential_is_found_where_systemd_has_it_and_nowhere_else() {
    let given = LEAST.replace("\"key\"", "\"$CREDENTIALS_DIRECTORY/database.key\"");
    let folder = ("CREDENTIALS_DIRECTORY", "/run/credentials/leader.service");
    let key = parse_with(&given, &[folder]).unwrap().database_key.unwrap();
    assert_eq!(key, Path::new("/run/credentials/leader.service/database.key"));
    let error = parse(&given).unwrap_err().to_string();
    assert!(error.contains("database.key") && error.contains("LoadCredential"), "{error}");
}

#[test]
fn the_database_key_has_one_source() {
    let without = LEAST.replace("database_key = \"key\"\n", "");
    let error = parse(&without).unwrap_err().to_string();
    assert!(error.contains("database_key_command"), "{error}");
    let command = "database_key_command = [\"bin/key\", \"hunter2\"]\n";
    let config = parse(&format!("{command}{without}")).unwrap();
    assert_eq!(config.database_key_command.as_ref().unwrap().program(), "/etc/bin/key");
    assert!(!format!("{config:?}").contains("hunter2"));
    let error = parse(&format!("{command}{LEAST}")).unwrap_err().to_string();
    assert!(error.contains("cannot be combined"), "{error}");
    for wrong in ["[]", "[\"\"]", "\"vault\""] {
        assert!(parse(&format!("database_key_command = {wrong}\n{without}")).is_err());
    }
}

#[test]
fn secrets_are_needed_by_programs_only() {
    let without = LEAST.replace("secrets = \"secrets.toml\"\n", "");
    let tasks = format!("{without}tasks = [\"task.json\"]\n");
    assert!(parse(&tasks).unwrap().secrets.is_none());
    let programs = format!("{tasks}programs = [\"program.toml\"]\n");
    let error = parse(&programs).unwrap_err().to_string();
    assert!(error.contains("program.toml") && error.contains("`secrets`"), "{error}");
    let given = [("SOTTOVOCE_SECRETS", "secrets.toml")];
    assert!(parse_with(&programs, &given).unwrap().secrets.is_some());
}

#[test]
fn the_environment_overrides_and_is_named_when_it_is_wrong() {
    let config = parse_with(LEAST, &[("SOTTOVOCE_LIMITS__UPLOAD_BYTES", "7")]).unwrap();
    assert_eq!(config.limits.upload_bytes, 7);
    let error = parse_with(LEAST, &[("SOTTOVOCE_COLOUR", "red")]).unwrap_err().to_string();
    assert!(error.contains("SOTTOVOCE_COLOUR") && error.contains("colour"), "{error}");
}

#[test]
fn plain_http_to_other_machines_is_an_explicit_choice() {
    let public = LEAST.replace("127.0.0.1:0", "0.0.0.0:80");
    let error = parse(&public).unwrap_err().to_string();
    assert!(error.contains("plain_http = true"), "{error}");
    assert!(parse(&format!("plain_http = true\n{public}")).is_ok());
}

#[test]
fn the_admin_interface_is_open_to_this_machine_only_unless_it_is_locked() {
    let parse = |admin: &str| parse(&format!("{LEAST}[admin]\n{admin}"));
    let refused = |admin: &str, words: &str| {
        let error = parse(admin).unwrap_err().to_string();
        assert!(error.contains(words), "{admin}: {error}");
    };
    let tls = "[admin.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
    let token = "token = \"admin.token\"\n";
    let (near, far) = ("listen = \"[::1]:9080\"\n", "listen = \"10.0.0.1:9080\"\n");
    for allowed in [near.to_owned(), format!("{near}{token}"), format!("{far}{token}{tls}")] {
        assert!(parse(&allowed).is_ok(), "{allowed}");
    }
    refused(far, "[admin.tls] and admin.token");
    refused(&format!("{far}{token}"), "can be reached from other machines");
    refused(&format!("{far}{tls}"), "can be reached from other machines");
    refused("", "needs listen");
    let socket = "socket = \"admin.sock\"\n";
    let admin = parse(socket).unwrap().admin.unwrap();
    assert_eq!(admin.socket.unwrap(), Path::new("/etc/admin.sock"));
    refused(&format!("{socket}{near}"), "cannot be combined");
    refused(&format!("{socket}{tls}"), "needs no [admin.tls]");
    refused(&format!("{near}{tls}peer_ca = \"ca.pem\"\n"), "peer_ca is not supported");
}

#[test]
fn all_mistakes_are_said_and_not_the_first_only() {
    let text = format!(
        "path = \"x\"\nplain_http = true\n{LEAST}[tls]\ncertificate = \"a\"\nkey = \"b\"\n\
         [aggregation]\njobs = 0\n[cors]\norigins = [\"https://app.example/\"]\n"
    );
    let error = parse(&text).unwrap_err();
    let mistakes = error.mistakes();
    for (mistake, words) in
        mistakes.iter().zip(["slash", "cannot be combined", "cors.origins", "aggregation.jobs"])
    {
        assert!(mistake.contains("leader.toml: ") && mistake.contains(words), "{mistake}");
    }
    assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    assert!(error.to_string().contains("has 4 mistakes"), "{error}");
}

#[test]
fn an_identity_is_two_files_or_one_with_both() {
    let identity =
        |peer: &str| parse(&format!("{LEAST}{peer}")).map(|config| config.peer.identity.unwrap());
    let two = identity("[peer.identity]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n").unwrap();
    assert_eq!(two.files().count(), 2);
    assert!(two.key.is_absolute() && two.key.ends_with("k.pem"));
    let one = identity("[peer]\nidentity = \"both.pem\"\n").unwrap();
    assert_eq!(one.files().collect::<Vec<_>>(), [&one.key]);
    let error = identity("[peer.identity]\ncertificate = \"c.pem\"\n").unwrap_err().to_string();
    assert!(error.contains("key"), "{error}");
    let error = identity("[peer]\nidentity = 7\n").unwrap_err().to_string();
    assert!(error.contains("[peer.identity]"), "{error}");
}

#[test]
fn a_lease_that_is_over_at_once_is_refused() {
    let with = |seconds: u64| parse(&format!("{LEAST}[aggregation]\nlease_seconds = {seconds}\n"));
    for seconds in [0, 2] {
        let error = with(seconds).unwrap_err().to_string();
        let said = format!("aggregation.lease_seconds = {seconds} must be 3 or more");
        assert!(error.contains(&said), "{error}");
    }
    assert!(with(3).is_ok());
}

#[test]
fn a_path_that_the_router_would_take_for_a_pattern_is_refused() {
    for path in ["/{x", "/{*x}", "/:x", "/*x", "/a b", "/ä"] {
        let error = parse(&format!("path = {path:?}\n{LEAST}")).unwrap_err().to_string();
        assert!(error.contains("letters"), "{path}: {error}");
    }
    assert!(parse(&format!("path = \"/a-b.c/_~9/\"\n{LEAST}")).is_ok());
}

#[test]
fn a_header_that_names_clients_needs_proxies_that_are_trusted() {
    let refused = |limits: &str| parse(&format!("{LEAST}[limits]\n{limits}")).err();
    let header = "client_address_header = \"forwarded\"\n";
    let error = refused(header).unwrap().to_string();
    assert!(error.contains("trusted_proxies") && error.contains("trusted_hops"), "{error}");
    let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n";
    assert!(refused(&format!("{header}{proxies}")).is_none() && refused(proxies).is_none());
    assert!(refused("trusted_hops = 1\n").is_none());
    let both = refused(&format!("{proxies}trusted_hops = 1\n")).unwrap().to_string();
    assert!(both.contains("cannot be combined"), "{both}");
    let balancers = "proxy_protocol = true\n";
    assert!(refused(&format!("{balancers}{proxies}")).is_none());
    let open = refused(balancers).unwrap().to_string();
    assert!(open.contains("needs limits.trusted_proxies"), "{open}");
    let both = refused(&format!("{balancers}{proxies}{header}")).unwrap().to_string();
    assert!(both.contains("cannot be combined"), "{both}");
    let wrong = refused("trusted_proxies = [\"ten\"]\n").unwrap().to_string();
    assert!(wrong.contains("ten") && wrong.contains("10.0.0.0/8"), "{wrong}");
}

#[test]
fn a_database_url_is_never_shown() {
    let url = "postgres://sottovoce:hunter2@db.example/leader";
    let config = parse(&LEAST.replace("\"db\"", &format!("{url:?}"))).unwrap();
    assert!(!format!("{config:?} {}", config.database).contains("hunter2"));
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = parse(&format!("{LEAST}colour = 1\n")).unwrap_err().to_string();
    assert!(error.contains("line 5") && error.contains("colour"), "{error}");
}

#[test]
fn a_bad_secret_is_refused_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    let text = "verify_key_seed = \"hunter2-hunter2-hunter2\"\nleader_token = \"t\"\n";
    std::fs::write(&path, text).unwrap();
    let error = read::<secrets::HelperSecrets>(&path).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}
