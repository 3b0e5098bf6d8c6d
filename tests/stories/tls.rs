//! HTTPS between the parties: certificates that are checked, shown and renewed.

use crate::{
    task::sample,
    world::{World, WorldOptions, seeded, write_secret},
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::{fs, path::Path};

/// An authority, and certificates by it for the helper's server and for the leader as a client.
pub(crate) fn certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let authority = authority().self_signed(&key).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("ca.key.pem"), key.serialize_pem()).unwrap();
    issue(folder, "helper", ExtendedKeyUsagePurpose::ServerAuth);
    issue(folder, "leader", ExtendedKeyUsagePurpose::ClientAuth);
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn issue(folder: &Path, name: &str, purpose: ExtendedKeyUsagePurpose) {
    issue_until(folder, name, purpose, 4000);
}

fn issue_until(folder: &Path, name: &str, purpose: ExtendedKeyUsagePurpose, year: i32) {
    let authority_key = fs::read_to_string(folder.join("ca.key.pem")).unwrap();
    let issuer = Issuer::new(authority(), KeyPair::from_pem(&authority_key).unwrap());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let both = format!("{}{}", certificate.pem(), key.serialize_pem());
    write_secret(&folder.join(format!("{name}.both.pem")), &both);
    write_secret(&folder.join(format!("{name}.key.pem")), &key.serialize_pem());
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
}

fn world(peer: &str) -> World {
    let tls =
        "\n[tls]\ncertificate = \"helper.pem\"\nkey = \"helper.key.pem\"\npeer_ca = \"ca.pem\"\n";
    World::start(WorldOptions {
        tables: [peer.to_owned(), tls.to_owned()],
        helper_https: true,
        files: Some(certificates),
        ..Default::default()
    })
}

#[test]
fn reports_go_the_whole_way_over_mutual_tls() {
    let world = world("\n[peer]\nca = \"ca.pem\"\nidentity = \"leader.both.pem\"\n");
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(1));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
    // The token alone is not enough: this connection shows no certificate.
    let missing = world.task().at_helper("aggregation_jobs/AAAAAAAAAAAAAAAAAAAAAA?step=0");
    let refused = crate::http::Ask::get(&missing).token(&world.task().leader_token).send();
    assert_eq!(refused.problem().status, 403);
}

#[test]
fn a_leader_without_a_certificate_or_trust_aggregates_nothing_and_says_why() {
    let world = world("\n[peer]\nca = \"ca.pem\"\n");
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(2));
    world.upload_all(&world.reports(&measurements));
    world.leader.wait_for_log("other aggregator's client certificate");
    world.leader.kill();
    let configure = |peer: &str| {
        let text = fs::read_to_string(&world.leader.config).unwrap();
        let before = text.split("[peer]").next().unwrap();
        fs::write(&world.leader.config, format!("{before}[peer]\n{peer}")).unwrap();
        world.leader.start();
    };
    configure("");
    world.leader.wait_for_log("UnknownIssuer");
    world
        .helper
        .wait_for_log("refused a TLS handshake: the client does not accept our certificate");
    world.leader.kill();
    // Put right, nothing was lost.
    configure("ca = \"ca.pem\"\nidentity = \"leader.both.pem\"\n");
    world.expect(&measurements);
}

#[test]
fn the_side_that_refuses_a_certificate_says_whose_and_why() {
    let world = world("\n[peer]\nca = \"ca.pem\"\nidentity = \"leader.both.pem\"\n");
    world.leader.kill();
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let identity = "leader.both.pem";
    fs::copy(other.path().join(identity), world.folder.path().join(identity)).unwrap();
    world.leader.start();
    let measurements = sample(&world.task().configuration.vdaf, 3, &mut seeded(4));
    world.upload_all(&world.reports(&measurements));
    world
        .helper
        .wait_for_log("refused a TLS handshake: the client's certificate is not valid here");
    let log = world.helper.log();
    let line = log.lines().find(|line| line.contains("refused a TLS handshake")).unwrap();
    assert!(line.contains("client=127.0.0.1") && line.contains("error="), "{line}");
}

#[test]
fn a_renewed_certificate_is_taken_into_use_while_the_server_runs() {
    let world = world("\n[peer]\nca = \"ca.pem\"\nidentity = \"leader.both.pem\"\n");
    let folder = world.folder.path();
    // Half of a renewal: the old pair stays in use.
    fs::write(folder.join("helper.key.pem"), "not a key").unwrap();
    world.helper.wait_for_log("the previous ones stay in use");
    // One that is worse than the one in use is not taken.
    issue_until(folder, "helper", ExtendedKeyUsagePurpose::ServerAuth, 2021);
    world.helper.wait_for_log("helper.pem expired on 2021-01-01T00:00:00Z");
    assert!(!world.helper.log().contains("reloaded"), "{}", world.helper.log());
    issue(folder, "helper", ExtendedKeyUsagePurpose::ServerAuth);
    world.helper.wait_for_log("reloaded the TLS certificates");
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(3));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
}

#[test]
fn files_that_do_not_fit_are_refused_at_the_start() {
    let world = world("");
    world.helper.kill();
    let folder = world.folder.path();
    fs::copy(folder.join("leader.key.pem"), folder.join("helper.key.pem")).unwrap();
    let config = world.helper.config.to_str().unwrap();
    let output = world.helper.run(&["serve", "--config", config]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("helper.pem") && said.contains("cannot be used together"), "{said}");
}
