//! What is the matter with many users in the same way is told once.

use super::finding::Finding;
use super::fixed;

/// So many are told one by one.
const SINGLY: usize = 3;

/// Joins findings that differ in nothing but the user, if they are many. The order stays, by the first of each.
pub(super) fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut groups: Vec<(Finding, Vec<Finding>)> = Vec::new();
    for finding in findings {
        let alike = without_user(&finding);
        match groups.iter_mut().find(|(known, _)| *known == alike) {
            Some((_, group)) => group.push(finding),
            None => groups.push((alike, vec![finding])),
        }
    }
    groups.into_iter().flat_map(|(_, group)| joined(group)).collect()
}

/// The same with the user's name taken out, wherever it stands.
fn without_user(finding: &Finding) -> Finding {
    let mut finding = finding.clone();
    let Some(user) = finding.user.take() else { return finding };
    let without = |text: Option<String>| text.map(|text| text.replace(&user, "…"));
    finding.found = without(finding.found);
    finding.advice = without(finding.advice);
    finding
}

fn joined(mut group: Vec<Finding>) -> Vec<Finding> {
    if group.len() <= SINGLY {
        return group;
    }
    group.sort_by(|a, b| a.user.cmp(&b.user));
    let users: Vec<&str> = group.iter().filter_map(|finding| finding.user.as_deref()).collect();
    let what = format!("{} users ({})", users.len(), fixed::few(&users));
    let first = group.first().cloned();
    first
        .into_iter()
        .map(|first| Finding { what: format!("{what}: {}", first.what), user: None, ..first })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(user: &str, code: &str) -> Finding {
        let found = format!("role \"{user}\" does not exist ({code})");
        Finding::error("login", "it fails").user(user).found(found)
    }

    #[test]
    fn many_of_a_kind_are_told_once_and_few_singly() {
        let mut all: Vec<Finding> = (0..7).map(|n| finding(&format!("u{n}"), "28000")).collect();
        all.push(finding("u8", "3D000"));
        let merged = merge(all);
        let texts: Vec<String> = merged.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "error: 7 users (u0, u1, u2, u3, u4 and 2 more): it fails\n    found: role \"u0\" does not exist (28000)",
                "error: as u8: it fails\n    found: role \"u8\" does not exist (3D000)"
            ]
        );
        let few: Vec<Finding> = (0..3).map(|n| finding(&format!("u{n}"), "28000")).collect();
        assert_eq!(merge(few.clone()), few);
    }
}
