//! Logins through TLS, by certificate, and by the lines of auth_hba_file.

use crate::house::{House, tls_client};
use crate::talk::{Conn, Talk};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![allowed(), required(), certificates(), hba()]
}

fn encrypted(t: &Talk<'_>, certificate: Option<&str>, user: &str) -> Conn {
    let mut a = t.connect("a");
    if a.ask_for("SSL") == b'S' {
        a.tls(tls_client(t.ground(), certificate));
    }
    a.startup(&[("user", user), ("database", "app")]);
    a
}

fn allowed() -> House {
    House::new("tls-allow", |ground| ground.setup().tls(&ground.authority.server()))
        .talk("through TLS", |t| {
            let mut a = encrypted(t, None, "app");
            a.ready();
            a.query("SELECT 1");
            a.terminate();
        })
        .talk("in clear", |t| drop(t.login("a", "app", "app")))
        .talk("GSSENCRequest, then TLS", |t| {
            let mut a = t.connect("a");
            a.ask_for("GSSENC");
            a.ask_for("SSL");
            a.tls(tls_client(t.ground(), None));
            a.startup(&[("user", "app")]);
            a.ready();
        })
        .talk("a startup packet right behind SSLRequest", |t| {
            let mut a = t.connect("a");
            a.bytes(
                "SSLRequest and more",
                b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x12\0\x03\0\0user\0app\0\0",
            );
            a.either();
        })
        .talk("SSLRequest inside TLS", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.tls(tls_client(t.ground(), None));
            a.packet("SSLRequest", &80_877_103_u32.to_be_bytes());
            a.either();
        })
        .talk_since((1, 25), "no TLS after all", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.startup(&[("user", "app")]);
            a.bytes_come();
        })
        .talk("a cancel request inside TLS", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.tls(tls_client(t.ground(), None));
            a.bytes("CancelRequest", b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02");
            a.end();
        })
        .talk("away after SSLRequest", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.leave();
            t.log("closing because");
        })
}

fn required() -> House {
    House::new("tls-require", |ground| {
        ground.setup().tls(&ground.authority.server()).setting("client_tls_sslmode", "require")
    })
    .talk("through TLS", |t| encrypted(t, None, "app").ready())
    .talk("in clear", |t| {
        t.login("a", "app", "app");
        t.log("pooler error");
        t.log("closing because");
    })
    .talk("in clear of an unknown user", |t| drop(t.login("a", "nobody", "nowhere")))
    .talk("over the Unix socket", |t| {
        let mut a = t.connect_unix("a");
        a.startup(&[("user", "app")]);
        a.ready();
    })
    .talk("in clear to the console", |t| drop(t.login("a", "admin", "pgbouncer")))
}

fn certificates() -> House {
    House::new("cert", |ground| {
        ground
            .setup()
            .tls(&ground.authority.server())
            .setting("client_tls_sslmode", "verify-full")
            .setting("auth_type", "cert")
    })
    .talk("of the user", |t| {
        let mut a = encrypted(t, Some("app"), "app");
        a.ready();
        a.query("SELECT current_user");
    })
    .talk("of another", |t| {
        encrypted(t, Some("app"), "other").end();
        t.log("closing because");
    })
    .talk("of a user who is not known", |t| encrypted(t, Some("nobody"), "nobody").end())
    .talk("none", |t| encrypted(t, None, "app").bytes_come())
    .talk("none, and no TLS", |t| drop(t.login("a", "app", "app")))
    .talk("over the Unix socket", |t| {
        let mut a = t.connect_unix("a");
        a.startup(&[("user", "app")]);
        a.ready();
    })
}

fn hba() -> House {
    House::new("hba", |ground| {
        ground
            .setup()
            .tls(&ground.authority.server())
            .user("md5er", "secret")
            .user("scrammer", "secret")
            .hba("host app app 127.0.0.1/32 trust")
            .hba("host app other 127.0.0.0/8 reject")
            .hba("host app md5er 127.0.0.1 255.255.255.255 md5")
            .hba("host app scrammer 127.0.0.1/32 scram-sha-256")
            .hba("host second scrammer 127.0.0.1/32 password")
            .hba("host app stats 10.0.0.0/8 trust")
            .hba("hostssl second app 127.0.0.1/32 trust")
            .hba("hostnossl second other 127.0.0.1/32 trust")
            .hba("host second nobody 127.0.0.1/32 trust")
            .hba("local all other trust")
            .hba("local app app peer")
            .hba("host pgbouncer admin 127.0.0.1/32 trust")
    })
    .talk("trust", |t| drop(t.login("a", "app", "app")))
    .talk("reject", |t| {
        t.login("a", "other", "app");
        t.log("pooler error");
        t.log("closing because");
    })
    .talk("no line of that address", |t| {
        t.login("a", "stats", "app");
        t.log("closing because");
    })
    .talk("no line of that database", |t| drop(t.login("a", "md5er", "second")))
    .talk("md5", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "md5er"), ("database", "app")]);
        a.md5("md5er", "secret");
        a.ready();
    })
    .talk("scram", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "scrammer"), ("database", "app")]);
        a.scram("secret");
        a.ready();
    })
    .talk("password", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "scrammer"), ("database", "second")]);
        a.next();
        a.password("wrong");
        a.end();
    })
    .talk("hostssl in clear", |t| drop(t.login("a", "app", "second")))
    .talk("hostssl through TLS", |t| {
        let mut a = t.connect("a");
        a.ask_for("SSL");
        a.tls(tls_client(t.ground(), None));
        a.startup(&[("user", "app"), ("database", "second")]);
        a.ready();
    })
    .talk("hostnossl in clear", |t| drop(t.login("a", "other", "second")))
    .talk("hostnossl through TLS", |t| {
        let mut a = t.connect("a");
        a.ask_for("SSL");
        a.tls(tls_client(t.ground(), None));
        a.startup(&[("user", "other"), ("database", "second")]);
        a.end();
    })
    .talk("trust of a user who is not known", |t| drop(t.login("a", "nobody", "second")))
    .talk("an unknown database without a line", |t| drop(t.login("a", "app", "nowhere")))
    .talk("local", |t| {
        let mut a = t.connect_unix("a");
        a.startup(&[("user", "other"), ("database", "app")]);
        a.ready();
    })
    .talk("peer of another", |t| {
        let mut a = t.connect_unix("a");
        a.startup(&[("user", "app"), ("database", "app")]);
        a.end();
    })
    .talk("local without a line", |t| {
        let mut a = t.connect_unix("a");
        a.startup(&[("user", "scrammer"), ("database", "app")]);
        a.end();
    })
    .talk("the console", |t| drop(t.login("a", "admin", "pgbouncer")))
    .talk("the console of one without a line", |t| drop(t.login("a", "stats", "pgbouncer")))
}
