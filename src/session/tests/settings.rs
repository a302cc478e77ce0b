//! Settings of a client, on whichever server it is given.

use super::*;

#[test]
fn a_server_is_brought_to_its_clients_settings_unseen() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let status = bytes(|out| backend::parameter_status::write(out, b"TimeZone", b"UTC"));
    let mut first = fresh_server(9);
    first.parameters.note(b"TimeZone", b"Europe/Berlin");
    scene.attach(first);
    scene.goes_on(&query("SET timezone = 'UTC'"));
    scene.passes(&complete("SET"));
    scene.passes(&status);
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));

    let mut second = fresh_server(9);
    second.parameters.note(b"TimeZone", b"Asia/Tokyo");
    scene.attach(second);
    assert_eq!(&scene.out.to_server[5..], b"SET TimeZone='UTC';\0");
    let _ = scene.made_for_server();
    scene.goes_on(&query("SELECT 1"));
    for hidden in [complete("SET"), status, ready(Idle)] {
        assert_eq!(scene.server(&hidden), FromServer::Swallow(Then::GoOn));
    }
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

fn startup(settings: &[(&str, &str)]) -> std::sync::Arc<Startup> {
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| Setting::new(name.as_bytes(), value.as_bytes(), false))
        .collect();
    let spelling = settings.iter().map(|setting| setting.value.clone()).collect();
    Startup::new(settings, spelling, |name| Tracked::new(&[]).index(name))
}

/// A scene whose client asked for these settings, and a server whose TimeZone is UTC.
fn asked_for(mode: PoolMode, settings: &[(&str, &str)]) -> (Scene, ServerState) {
    let mut scene = Scene::new(mode);
    let startup = startup(settings);
    for (index, value) in startup.tracked() {
        scene.session.parameters.set(*index, value.clone());
    }
    scene.session.startup = Some(startup);
    let mut server = fresh_server(2);
    server.parameters.note(b"TimeZone", b"UTC");
    server.logged_in();
    (scene, server)
}

fn answers(scene: &mut Scene, messages: &[BytesMut]) {
    for message in messages {
        scene.server(message);
    }
}

#[test]
fn a_reset_returns_to_the_startup_value_and_the_client_is_told_before_it_may_go_on() {
    let (mut scene, server) = asked_for(PoolMode::Transaction, &[("timezone", "Asia/Tokyo")]);
    scene.attach(server);
    assert_eq!(tags(&scene.out.to_server), "Q", "SET TimeZone");
    answers(&mut scene, &[reported("TimeZone", "Asia/Tokyo"), ready(Idle)]);
    scene.client(&query("RESET ALL"));
    scene.out.to_client.clear();
    answers(&mut scene, &[complete("RESET"), reported("TimeZone", "UTC")]);
    let verdict = scene.server(&ready(Idle));
    assert_eq!(verdict, FromServer::Forward(Then::Release));
    assert_eq!(scene.out.to_client, reported("TimeZone", "Asia/Tokyo"));
    assert_eq!(scene.session.parameters.value(b"TimeZone").unwrap(), "Asia/Tokyo");
}

#[test]
fn in_session_mode_what_a_reset_took_away_is_set_again_once_before_the_next_message() {
    let (mut scene, server) = asked_for(PoolMode::Session, &[("work_mem", "1MB")]);
    scene.attach(server);
    answers(&mut scene, &[ready(Idle)]);
    scene.client(&query("DISCARD ALL"));
    scene.out.to_server.clear();
    answers(&mut scene, &[complete("DISCARD ALL"), ready(Idle)]);
    assert!(scene.out.to_server.is_empty());
    scene.client(&query("SELECT 1"));
    let sent = String::from_utf8_lossy(&scene.out.to_server).into_owned();
    assert!(tags(&scene.out.to_server) == "Q" && sent.contains("'work_mem','1MB'"), "{sent}");
    scene.out.to_server.clear();
    // All of its answer is hidden; then comes the client's own.
    for hidden in [complete("SELECT 1"), ready(Idle)] {
        assert_eq!(scene.server(&hidden), FromServer::Swallow(Then::GoOn));
    }
    answers(&mut scene, &[complete("SELECT 1"), ready(Idle)]);
    scene.client(&query("SELECT 2"));
    assert!(scene.out.to_server.is_empty(), "once is enough");
}

#[test]
fn a_client_without_extras_costs_a_server_without_extras_nothing() {
    let (mut scene, server) = asked_for(PoolMode::Transaction, &[]);
    scene.attach(server);
    assert!(scene.out.is_empty());
    let mut server = scene.server.take().unwrap();
    server.in_force.now_of(&startup(&[("work_mem", "1MB")]));
    scene.attach(server);
    let sent = String::from_utf8_lossy(&scene.out.to_server).into_owned();
    assert!(sent.contains("'work_mem',NULL"), "{sent}");
}
