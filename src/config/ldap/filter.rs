//! Search filters (RFC 4515), read once: a user's name is put into values of what was read, and never read itself.

use std::fmt;

/// What stands for the user's name.
const USER_NAME: &str = "$username";
/// How deep filters may stand in each other.
const MAX_DEPTH: usize = 16;

/// A filter, as text and as what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    text: String,
    condition: Condition,
}

/// What a filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `(&(…)(…))`
    And(Vec<Condition>),
    /// `(|(…)(…))`
    Or(Vec<Condition>),
    /// `(!(…))`
    Not(Box<Condition>),
    /// `(a=*)`
    Present(String),
    /// `(a=v)`, `(a>=v)`, `(a<=v)`, `(a~=v)`
    Compare {
        /// The attribute.
        attribute: String,
        /// How.
        how: Comparison,
        /// With what.
        value: Value,
    },
    /// `(a=x*y*z)`
    Substrings {
        /// The attribute.
        attribute: String,
        /// What stands before, between and behind the stars; the first and the last may be empty.
        parts: Vec<Value>,
    },
    /// `(a:dn:rule:=v)`
    Extensible {
        /// The attribute, if it is given.
        attribute: Option<String>,
        /// The rule, if it is given.
        rule: Option<String>,
        /// `:dn`.
        dn: bool,
        /// With what.
        value: Value,
    },
}

/// How an attribute is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `<=`
    LessOrEqual,
    /// `~=`
    Approximately,
}

/// What stands in a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    UserName,
}

impl Value {
    /// With this name in it.
    pub fn with(&self, user: &str) -> Vec<u8> {
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::UserName => user.as_bytes().to_vec(),
        };
        self.0.iter().flat_map(bytes).collect()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Filter {
    /// Reads it. The brackets around all of it may be missing. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
        let mut rest = text.as_str();
        let condition = in_brackets(&mut rest, 0)?;
        rest.trim().is_empty().then_some(Self { text, condition })
    }

    /// `(attribute=$username)`. `None`: that is no attribute.
    pub fn by_attribute(attribute: &str) -> Option<Self> {
        is_attribute(attribute).then(|| Self {
            text: format!("({attribute}={USER_NAME})"),
            condition: Condition::Compare {
                attribute: attribute.to_owned(),
                how: Comparison::Equal,
                value: Value(vec![Piece::UserName]),
            },
        })
    }

    /// What it says.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// As it stands in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As text with a user's name in it, for people.
    pub fn told(&self, user: &str) -> String {
        let mut escaped = String::with_capacity(user.len());
        for c in user.chars() {
            match c {
                '*' | '(' | ')' | '\\' | '\0' => {
                    escaped.push_str(&format!("\\{:02x}", u32::from(c)))
                }
                c => escaped.push(c),
            }
        }
        self.text.replace(USER_NAME, &escaped)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn in_brackets(rest: &mut &str, depth: usize) -> Option<Condition> {
    if depth == MAX_DEPTH {
        return None;
    }
    *rest = rest.trim_start().strip_prefix('(')?.trim_start();
    let condition = match rest.split_at_checked(1)? {
        ("&", behind) => Condition::And(list(rest, behind, depth)?),
        ("|", behind) => Condition::Or(list(rest, behind, depth)?),
        ("!", behind) => {
            *rest = behind;
            Condition::Not(Box::new(in_brackets(rest, depth + 1)?))
        }
        _ => {
            // Brackets in values are escaped.
            let (item, _) = rest.split_at_checked(rest.find(')')?)?;
            *rest = rest.get(item.len()..)?;
            comparison(item)?
        }
    };
    *rest = rest.trim_start().strip_prefix(')')?;
    Some(condition)
}

fn list<'a>(rest: &mut &'a str, behind: &'a str, depth: usize) -> Option<Vec<Condition>> {
    *rest = behind.trim_start();
    let mut conditions = Vec::new();
    while rest.starts_with('(') {
        conditions.push(in_brackets(rest, depth + 1)?);
        *rest = rest.trim_start();
    }
    Some(conditions)
}

fn comparison(item: &str) -> Option<Condition> {
    let (left, right) = item.split_once('=')?;
    let sign = |sign: char| left.strip_suffix(sign).map(str::trim);
    if let Some(left) = sign(':') {
        return extensible(left, right);
    }
    let (attribute, how) = match (sign('>'), sign('<'), sign('~')) {
        (Some(attribute), _, _) => (attribute, Comparison::GreaterOrEqual),
        (_, Some(attribute), _) => (attribute, Comparison::LessOrEqual),
        (_, _, Some(attribute)) => (attribute, Comparison::Approximately),
        _ => (left.trim(), Comparison::Equal),
    };
    if !is_attribute(attribute) {
        return None;
    }
    let attribute = attribute.to_owned();
    if how != Comparison::Equal || !right.contains('*') {
        return Some(Condition::Compare { attribute, how, value: value(right)? });
    }
    if right == "*" {
        return Some(Condition::Present(attribute));
    }
    let parts = right.split('*').map(value).collect::<Option<Vec<Value>>>()?;
    let between = parts.get(1..parts.len() - 1)?;
    let sound = between.iter().all(|part| !part.is_empty());
    sound.then_some(Condition::Substrings { attribute, parts })
}

fn extensible(left: &str, right: &str) -> Option<Condition> {
    let mut words = left.split(':');
    let named = |word: &str| (!word.is_empty()).then(|| word.to_owned());
    let attribute = named(words.next()?);
    let mut words = words.peekable();
    let dn = words.next_if(|word| word.eq_ignore_ascii_case("dn")).is_some();
    let rule = words.next().map(str::to_owned);
    let mut names = attribute.iter().chain(&rule);
    let sound = words.next().is_none() && names.all(|name| is_attribute(name));
    if !sound || (attribute.is_none() && rule.is_none()) {
        return None;
    }
    Some(Condition::Extensible { attribute, rule, dn, value: value(right)? })
}

/// An attribute's or a rule's name or number (RFC 4512), perhaps with options.
fn is_attribute(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    !name.is_empty() && name.chars().all(fits)
}

/// A value, its `\xx` undone. `None` if there is a character in it that must be escaped.
fn value(text: &str) -> Option<Value> {
    let mut pieces = Vec::new();
    for (number, part) in text.split(USER_NAME).enumerate() {
        if number > 0 {
            pieces.push(Piece::UserName);
        }
        let bytes = unescaped(part)?;
        if !bytes.is_empty() {
            pieces.push(Piece::Bytes(bytes));
        }
    }
    Some(Value(pieces))
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, behind) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(behind.as_bytes());
    }
    (!text.contains(['*', '(', '\0'])).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Condition {
        Filter::parse(text).expect(text).condition
    }

    fn equal(attribute: &str, value: &str) -> Condition {
        let value = Value(vec![Piece::Bytes(value.into())]);
        Condition::Compare { attribute: attribute.to_owned(), how: Comparison::Equal, value }
    }

    #[test]
    fn filters_are_read_as_the_standard_has_them() {
        assert_eq!(read("(cn=Babs Jensen)"), equal("cn", "Babs Jensen"));
        assert_eq!(read("cn=x"), equal("cn", "x"));
        assert_eq!(read("(!(cn=Tim))"), Condition::Not(Box::new(equal("cn", "Tim"))));
        assert_eq!(
            read(" ( & (a=b) (| (c=d)(e=f) ) ) "),
            Condition::And(vec![
                equal("a", "b"),
                Condition::Or(vec![equal("c", "d"), equal("e", "f")])
            ])
        );
        assert_eq!(read("(o=Parens R Us \\28for all\\29)"), equal("o", "Parens R Us (for all)"));
        assert_eq!(read("(sn=Lu\\c4\\8di\\c4\\87)"), equal("sn", "Lučić"));
        assert_eq!(
            read("(seeAlso=)"),
            Condition::Compare {
                attribute: "seeAlso".to_owned(),
                how: Comparison::Equal,
                value: Value::default()
            }
        );
        assert_eq!(read("(cn=*)"), Condition::Present("cn".to_owned()));
        assert_eq!(read("(&)"), Condition::And(vec![]));
        let Condition::Substrings { parts, .. } = read("(o=univ*of*mich*)") else { panic!() };
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.with("")).collect();
        assert_eq!(parts, [&b"univ"[..], b"of", b"mich", b""]);
        for (text, how) in [
            ("(a>=1)", Comparison::GreaterOrEqual),
            ("(a<=1)", Comparison::LessOrEqual),
            ("(a~=1)", Comparison::Approximately),
        ] {
            let value = Value(vec![Piece::Bytes(b"1".to_vec())]);
            assert_eq!(read(text), Condition::Compare { attribute: "a".to_owned(), how, value });
        }
        let extensible = |text: &str| match read(text) {
            Condition::Extensible { attribute, rule, dn, value } => {
                (attribute, rule, dn, value.with("joe"))
            }
            other => panic!("{other:?}"),
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            extensible("(cn:1.2.3:=Fred)"),
            (some("cn"), some("1.2.3"), false, b"Fred".to_vec())
        );
        assert_eq!(extensible("(o:dn:=Ace)"), (some("o"), None, true, b"Ace".to_vec()));
        assert_eq!(extensible("(:DN:2.4:=$username)"), (None, some("2.4"), true, b"joe".to_vec()));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "()",
            "(a)",
            "(a=b",
            "(a=b))",
            "a=b)(c=d",
            "(a=b)(c=d)",
            "(=b)",
            "(a b=c)",
            "(a=\\2)",
            "(a=\\zz)",
            "(a=\\+1)",
            "(a=b(c)",
            "(a=x**y)",
            "(a=**)",
            "(!a=b)",
            "(&(a=b)c)",
            "(:=x)",
            "(a:b:c:=x)",
            "(a>=*)",
            "($username=x)",
        ] {
            assert_eq!(Filter::parse(text), None, "{text}");
        }
        let deep = |depth: usize| format!("{}(a=b){}", "(!".repeat(depth), ")".repeat(depth));
        assert!(Filter::parse(&deep(MAX_DEPTH - 1)).is_some());
        assert_eq!(Filter::parse(&deep(100_000)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(\\((&|\\||!)?|a=|\\)|\\*|\\\\2a|[ -~é]){0,20}") {
            let _ = Filter::parse(&text);
        }

        #[test]
        fn a_user_name_is_a_value_whatever_it_is(user in "\\PC{0,12}|[-a-z*()&|!=$\\\\\\x00]{0,12}") {
            let filter = Filter::parse("(|(uid=$username)(mail=$username@x))").unwrap();
            let Condition::Or(parts) = filter.condition() else { panic!() };
            let Condition::Compare { value, .. } = &parts[0] else { panic!() };
            prop_assert_eq!(value.with(&user), user.as_bytes());
            // What is told of it means the same.
            let expected = Condition::Or(vec![
                Condition::Compare {
                    attribute: "uid".to_owned(), how: Comparison::Equal,
                    value: Value(if user.is_empty() { vec![] } else { vec![Piece::Bytes(user.clone().into_bytes())] }),
                },
                equal("mail", &format!("{user}@x")),
            ]);
            if !user.contains("$username") {
                prop_assert_eq!(read(&filter.told(&user)), expected);
            }
        }
    }
}
