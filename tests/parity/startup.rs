//! The first packets: requests for encryption, versions, names, parameters, nonsense.

use crate::house::House;

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        encryption(),
        packets(),
        names(),
        odd_names(),
        parameters(),
        options(),
        ignoring(),
        after_login(),
    ]
}

fn encryption() -> House {
    House::new("no-tls", |ground| ground.setup())
        .talk("SSLRequest, then in clear", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.startup(&[("user", "app")]);
            a.ready();
        })
        .talk("GSSENCRequest, then in clear", |t| {
            let mut a = t.connect("a");
            a.ask_for("GSSENC");
            a.startup(&[("user", "app")]);
            a.ready();
        })
        .talk("GSSENCRequest, then SSLRequest", |t| {
            let mut a = t.connect("a");
            a.ask_for("GSSENC");
            a.ask_for("SSL");
            a.startup(&[("user", "app")]);
            a.ready();
        })
        .talk("SSLRequest twice", |t| {
            let mut a = t.connect("a");
            a.ask_for("SSL");
            a.packet("SSLRequest", &80_877_103_u32.to_be_bytes());
            a.either();
        })
        .talk("SSLRequest with a byte too many", |t| {
            let mut a = t.connect("a");
            a.packet("a long SSLRequest", &[4, 210, 22, 47, 0]);
            a.either();
        })
        .talk("a startup packet right behind SSLRequest", |t| {
            let mut a = t.connect("a");
            a.bytes(
                "SSLRequest and more",
                b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x12\0\x03\0\0user\0app\0\0",
            );
            a.one_byte();
            a.ready();
        })
        .talk("TLS without asking", |t| {
            let mut a = t.connect("a");
            a.bytes("a ClientHello", b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03");
            a.finish();
        })
        .talk("SSLRequest over the Unix socket", |t| {
            let mut a = t.connect_unix("a");
            a.ask_for("SSL");
            a.startup(&[("user", "app")]);
            a.ready();
        })
}

fn packets() -> House {
    let house = House::new("packets", |ground| ground.setup())
        .talk("in two pieces", |t| {
            let mut a = t.connect("a");
            a.bytes("half a packet", b"\0\0\0\x12\0\x03\0\0us");
            a.silent();
            a.bytes("the other half", b"er\0app\0\0");
            a.ready();
        })
        .talk("nothing", |t| t.connect("a").leave())
        .talk("half a packet, and away", |t| {
            let mut a = t.connect("a");
            a.bytes("half a packet", b"\0\0\0\x12\0\x03\0\0us");
            a.leave();
            t.log("closing because");
        });
    let nonsense: &[(&str, &[u8])] = &[
        ("protocol 2", b"\0\0\0\x08\0\x02\0\0"),
        ("protocol 4", b"\0\0\0\x12\0\x04\0\0user\0app\0\0"),
        ("protocol 0", b"\0\0\0\x08\0\0\0\0"),
        ("no terminator", b"\0\0\0\x11\0\x03\0\0user\0app\0"),
        ("a name without a value", b"\0\0\0\x0e\0\x03\0\0user\0\0"),
        ("a value without its end", b"\0\0\0\x10\0\x03\0\0user\0app"),
        ("bytes behind the terminator", b"\0\0\0\x15\0\x03\0\0user\0app\0\0xyz"),
        ("no parameters", b"\0\0\0\x09\0\x03\0\0\0"),
        ("nothing but a version", b"\0\0\0\x08\0\x03\0\0"),
        ("an empty user", b"\0\0\0\x0f\0\x03\0\0user\0\0\0"),
        ("an empty database", b"\0\0\0\x1c\0\x03\0\0user\0app\0database\0\0\0"),
        ("a length of 0", b"\0\0\0\0\0\x03\0\0"),
        ("a length of 4", b"\0\0\0\x04\0\x03\0\0"),
        ("a length of 7", b"\0\0\0\x07\0\x03\0\0"),
        ("a length of 2 GiB", b"\x7f\xff\xff\xff\0\x03\0\0"),
        ("a negative length", b"\xff\xff\xff\xff\0\x03\0\0"),
        ("a length of 20000", b"\0\0\x4e\x20\0\x03\0\0user\0app\0\0"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
        ("a query", b"Q\0\0\0\x0dSELECT 1\0"),
    ];
    nonsense.iter().fold(house, |house, (name, bytes)| {
        house.talk(*name, move |t| {
            let mut a = t.connect("a");
            a.bytes(name, bytes);
            a.finish();
        })
    })
}

fn names() -> House {
    let house = House::new("names", |ground| {
        ground
            .setup()
            .user(&"u".repeat(63), "x")
            .user(&"u".repeat(64), "x")
            .user(&"u".repeat(127), "x")
    })
    .talk("database pgbouncer of no admin", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "app"), ("database", "pgbouncer")]);
        a.end();
        t.log("closing because");
    });
    let cases: &[(&str, usize, usize)] = &[
        ("a user of 63 bytes", 63, 3),
        ("a user of 64 bytes", 64, 3),
        ("a user of 127 bytes", 127, 3),
        ("a user of 128 bytes", 128, 3),
        ("a user of 1000 bytes", 1000, 3),
        ("a database of 63 bytes", 0, 63),
        ("a database of 64 bytes", 0, 64),
        ("a database of 127 bytes", 0, 127),
        ("a database of 128 bytes", 0, 128),
    ];
    cases.iter().fold(house, |house, &(name, user, database)| {
        house.talk(name, move |t| {
            let user = if user == 0 { "app".to_owned() } else { "u".repeat(user) };
            let database = if database == 3 { "app".to_owned() } else { "d".repeat(database) };
            let mut a = t.connect("a");
            a.startup(&[("user", &user), ("database", &database)]);
            a.ready();
        })
    })
}

fn odd_names() -> House {
    House::new("odd-names", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .database(&format!("'Odd Name' = host=127.0.0.1 port={port} dbname=app"))
            .user("odd user", "x")
            .user("it's \"so\"", "x")
    })
    .since(1, 25)
    .talk("of a database", |t| drop(t.login("a", "app", "Odd Name")))
    .talk("of a database in another case", |t| drop(t.login("a", "app", "odd name")))
    .talk("of users", |t| {
        t.login("a", "odd user", "app");
        t.login("b", "it's \"so\"", "app");
        t.login("c", "APP", "app");
    })
}

fn parameters() -> House {
    let house =
        House::new("parameters", |ground| ground.setup().setting("pool_mode", "transaction"))
            .talk("the tracked ones hold", |t| {
                let mut a = t.login_with(
                    "a",
                    &[
                        ("user", "app"),
                        ("client_encoding", "LATIN1"),
                        ("DateStyle", "German"),
                        ("TimeZone", "Europe/Berlin"),
                        ("standard_conforming_strings", "off"),
                        ("application_name", "some app"),
                    ],
                );
                for name in ["client_encoding", "datestyle", "timezone", "application_name"] {
                    a.query(&format!("SHOW {name}"));
                }
                a.query("SHOW standard_conforming_strings");
            })
            .talk("another client is not touched by them", |t| {
                let mut a = t.quiet_login_with("a", &[("user", "app"), ("datestyle", "German")]);
                a.query("SHOW datestyle");
                let mut b = t.app("b");
                b.query("SHOW datestyle");
                a.query("SHOW datestyle");
            })
            .talk("protocol 3.1", |t| {
                let mut a = t.connect("a");
                a.startup_of(0x0003_0001, &[("user", "app")]);
                a.ready();
            })
            .talk("protocol 3.2", |t| {
                let mut a = t.connect("a");
                a.startup_of(0x0003_0002, &[("user", "app")]);
                a.ready();
            })
            .talk("protocol 3.9999", |t| {
                let mut a = t.connect("a");
                a.startup_of(0x0003_270f, &[("user", "app")]);
                a.ready();
            })
            .talk("a protocol option", |t| {
                let mut a = t.connect("a");
                a.startup(&[("user", "app"), ("_pq_.new_thing", "1"), ("_pq_.other", "2")]);
                a.ready();
            });
    let cases: &[(&str, &str, &str)] = &[
        ("an unknown one", "frobnicate", "1"),
        ("one that no server reports", "extra_float_digits", "2"),
        ("search_path", "search_path", "public"),
        ("a name in capitals", "APPLICATION_NAME", "loud"),
        ("an empty application_name", "application_name", ""),
        ("a quote in application_name", "application_name", "it's \"so\" \\ $1"),
        ("application_name beyond ASCII", "application_name", "größe"),
        ("an unknown encoding", "client_encoding", "nonsense"),
        ("an unknown DateStyle", "datestyle", "nonsense"),
        ("an unknown time zone", "timezone", "Mars/Olympus"),
        ("a wrong boolean", "standard_conforming_strings", "perhaps"),
        ("replication off", "replication", "off"),
        ("replication of nonsense", "replication", "perhaps"),
        ("database twice", "database", "second"),
        ("user twice", "user", "other"),
    ];
    cases.iter().fold(house, |house, &(name, key, value)| {
        house.talk(name, move |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "app"), ("database", "app"), (key, value)]);
            a.ready();
            a.query("SELECT current_user, current_database(), current_setting('application_name')");
        })
    })
}

fn options() -> House {
    let cases: &[(&str, &str)] = &[
        ("-c", "-c datestyle=German"),
        ("-c without a blank", "-cdatestyle=German"),
        ("two dashes", "--datestyle=German"),
        ("several", "-c datestyle=German --timezone=Europe/Berlin"),
        ("an escaped blank", "-c application_name=a\\ b"),
        ("a dash for an underscore", "-c application-name=x"),
        ("empty", ""),
        ("blanks", "   "),
        ("an unknown one", "-c frobnicate=1"),
        ("one that is not tracked", "-c search_path=public"),
        ("another switch", "-d 5"),
        ("words", "hello"),
        ("-c without anything", "-c"),
        ("no value", "-c datestyle"),
    ];
    let house = House::new("options", |ground| ground.setup()).since(1, 20);
    cases.iter().fold(house, |house, &(name, options)| {
        house.talk(name, move |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "app"), ("options", options)]);
            a.ready();
            a.query("SELECT current_setting('datestyle'), current_setting('application_name')");
        })
    })
}

fn ignoring() -> House {
    let house = House::new("ignoring", |ground| {
        ground.setup().setting("ignore_startup_parameters", "extra_float_digits, options")
    })
    .talk("what is not listed is refused", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "app"), ("frobnicate", "1")]);
        a.ready();
    });
    let cases: &[(&str, &str, &str)] = &[
        ("a parameter", "extra_float_digits", "2"),
        ("a parameter in capitals", "EXTRA_FLOAT_DIGITS", "2"),
        ("options", "options", "-c geqo=off"),
    ];
    cases.iter().fold(house, |house, &(name, key, value)| {
        house.talk(name, move |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "app"), (key, value)]);
            a.ready();
            a.query("SELECT current_setting('geqo')");
        })
    })
}

fn after_login() -> House {
    let cases: &[(&str, &[u8])] = &[
        ("an unknown type", b"~\0\0\0\x04"),
        ("a length of 3", b"Q\0\0\0\x03"),
        ("a length of 0", b"Q\0\0\0\0"),
        ("a negative length", b"Q\xff\xff\xff\xff"),
        ("a zero byte", b"\0\0\0\0\x04"),
        ("a query without its end", b"Q\0\0\0\x0cSELECT 1"),
        ("a second startup packet", b"\0\0\0\x12\0\x03\0\0user\0app\0\0"),
        ("an SSLRequest", b"\0\0\0\x08\x04\xd2\x16\x2f"),
        ("a server's message", b"Z\0\0\0\x05I"),
        ("CopyData", b"d\0\0\0\x05x"),
        ("CopyDone", b"c\0\0\0\x04"),
        ("CopyFail", b"f\0\0\0\x05\0"),
        ("a Sync", b"S\0\0\0\x04"),
        ("a Flush and a Sync", b"H\0\0\0\x04S\0\0\0\x04"),
        ("a FunctionCall", b"F\0\0\0\x0e\0\0\x04\xd2\0\0\0\0\0\0"),
    ];
    let house =
        House::new("after-login", |ground| ground.setup().setting("pool_mode", "transaction"));
    let broken: &[(&str, &[u8])] =
        &[("a Parse of nothing", b"P\0\0\0\x04"), ("a Bind of nothing", b"B\0\0\0\x04")];
    let house = broken.iter().fold(house, |house, (name, bytes)| {
        house.talk_since((1, 25), *name, |t| {
            let mut a = t.app("a");
            a.bytes(name, bytes);
            a.end();
        })
    });
    let house = house.talk("a Describe of no kind", |t| {
        let mut a = t.app("a");
        a.bytes("a Describe of no kind, Sync", b"D\0\0\0\x06x\0S\0\0\0\x04");
        a.ready();
    });
    cases.iter().fold(house, |house, &(name, bytes)| {
        house.talk(name, move |t| {
            let mut a = t.app("a");
            let all = [bytes, &b"Q\0\0\0\x0dSELECT 1\0"[..]].concat();
            a.bytes(&format!("{name}, Query"), &all);
            a.until(b'D');
            a.ready();
        })
    })
}
