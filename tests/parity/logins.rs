//! Logins: every kind of password, good and bad.

use crate::house::House;
use crate::talk::Talk;

/// The secret `secret` of the user `scrammer`.
const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$UHL3h3O4TKNnNh5zqCFAqYsWmjHFfFWRWXYcf9Z2XqQ=:R6pD9iFyl7eUlXtkSg5DGBBTJpxGcyr9rHOTNzkCZ9M=";

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![trust(), plain(), md5(), md5_and_scram(), scram()]
}

fn startup(t: &Talk<'_>, user: &str, database: &str) -> crate::talk::Conn {
    let mut a = t.connect("a");
    a.startup(&[("user", user), ("database", database)]);
    a
}

fn trust() -> House {
    House::new("trust", |ground| ground.setup().user("empty", ""))
        .talk("a known user", |t| {
            let mut a = t.login("a", "app", "app");
            a.query("SELECT current_user");
            a.terminate();
            t.log("login attempt");
            t.log("closing because: client close");
        })
        .talk("an unknown user", |t| {
            startup(t, "nobody", "app").end();
            t.log("pooler error");
            t.log("closing because");
        })
        .talk("a user without a secret", |t| {
            startup(t, "empty", "app").ready();
        })
        .talk("an unknown database", |t| {
            startup(t, "app", "nowhere").end();
            t.log("closing because");
        })
        .talk("an unknown user of an unknown database", |t| startup(t, "nobody", "nowhere").end())
        .talk("a database that the server does not know", |t| startup(t, "app", "missing").end())
        .talk("the database defaults to the user's name", |t| {
            let mut a = t.login_with("a", &[("user", "app")]);
            a.query("SELECT current_database()");
        })
        .talk("a password that nobody asked for", |t| {
            let mut a = t.app("a");
            a.password("secret");
            a.end();
        })
}

fn plain() -> House {
    House::new("plain", |ground| {
        ground
            .setup()
            .setting("auth_type", "plain")
            .user("md5er", "md56e6b5d4f4ae37b10a0b4ffb3ab5a8d5a")
            .user("empty", "")
    })
    .talk("the right password", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.password("secret");
        a.ready();
        a.query("SELECT 1");
    })
    .talk("a wrong password", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.password("wrong");
        a.end();
        t.log("pooler error");
        t.log("closing because");
    })
    .talk("an empty password", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.password("");
        a.end();
    })
    .talk("an empty password for an empty secret", |t| {
        let mut a = startup(t, "empty", "app");
        a.next();
        a.password("");
        a.end();
    })
    .talk("an unknown user", |t| {
        let mut a = startup(t, "nobody", "app");
        a.next();
        a.password("secret");
        a.end();
    })
    .talk("a query instead of a password", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.start("SELECT 1");
        a.end();
    })
    .talk("a goodbye instead of a password", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.message("Terminate", b'X', b"");
        a.end();
        t.log("closing because");
    })
    .talk("a password without its end", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.message("a password without zero", b'p', b"secret");
        a.finish();
    })
    .talk("the unknown database is told after the password", |t| {
        let mut a = startup(t, "app", "nowhere");
        a.next();
        a.password("secret");
        a.end();
        let mut b = t.connect("b");
        b.startup(&[("user", "app"), ("database", "nowhere")]);
        b.next();
        b.password("wrong");
        b.end();
    })
}

fn md5() -> House {
    House::new("md5", |ground| ground.setup().setting("auth_type", "md5"))
        .talk("the right password", |t| {
            let mut a = startup(t, "app", "app");
            a.md5("app", "secret");
            a.ready();
        })
        .talk("a wrong password", |t| {
            let mut a = startup(t, "app", "app");
            a.md5("app", "wrong");
            a.end();
        })
        .talk("an empty answer", |t| {
            let mut a = startup(t, "app", "app");
            a.next();
            a.password("");
            a.end();
        })
        .talk("a password in clear", |t| {
            let mut a = startup(t, "app", "app");
            a.next();
            a.password("secret");
            a.end();
        })
        .talk("an unknown user", |t| {
            let mut a = startup(t, "nobody", "app");
            a.md5("nobody", "secret");
            a.end();
        })
}

/// A house of its own: pgweir asks strangers as it asks the known users, so here for either.
fn md5_and_scram() -> House {
    House::new("md5-scram", |ground| {
        ground.setup().setting("auth_type", "md5").user("scrammer", VERIFIER)
    })
    .talk("a secret that is SCRAM's", |t| {
        let mut a = startup(t, "scrammer", "app");
        a.scram("wrong");
        a.end();
    })
}

fn scram() -> House {
    House::new("scram", |ground| {
        ground.setup().setting("auth_type", "scram-sha-256").user("scrammer", VERIFIER)
    })
    .talk("the right password", |t| {
        let mut a = startup(t, "app", "app");
        a.scram("secret");
        a.ready();
    })
    .talk("a wrong password", |t| {
        let mut a = startup(t, "app", "app");
        a.scram("wrong");
        a.end();
    })
    .talk("an unknown user", |t| {
        let mut a = startup(t, "nobody", "app");
        a.scram("secret");
        a.end();
    })
    .talk("a mechanism that nobody offered", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.message("SASLInitialResponse", b'p', b"SCRAM-SHA-512\0\0\0\0\x01n");
        a.end();
    })
    .talk("a password in clear", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.password("secret");
        a.end();
    })
    .talk("nonsense in place of SCRAM's first message", |t| {
        let mut a = startup(t, "app", "app");
        a.next();
        a.message("SASLInitialResponse", b'p', b"SCRAM-SHA-256\0\0\0\0\x05hello");
        a.end();
    })
}
