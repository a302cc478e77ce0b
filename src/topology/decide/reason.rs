//! The rules' words: why a host that answers is not used.

use super::{Chosen, Claim, Cluster, Host, Verdict};

impl Cluster {
    /// Why a host that answers is not used.
    pub(super) fn reason(
        &self,
        host: &Host,
        verdict: Verdict,
        chosen: Chosen,
        top: Option<Claim>,
    ) -> Option<String> {
        let timeline = |claim: Option<Claim>| match claim {
            Some(Claim(Some(timeline))) => format!("timeline {timeline}"),
            _ => "an unknown timeline".to_owned(),
        };
        match (verdict, chosen) {
            (Verdict::Double, _) => Some(format!(
                "is the same server as {}, which is in the list before it; it is not used by this name",
                host.double_of.as_ref().map(ToString::to_string).unwrap_or_default()
            )),
            // Who belongs to whom is not known before all were asked.
            (Verdict::Foreign, _) if !self.looked => None,
            (Verdict::Foreign, Chosen::One(id)) => Some(format!(
                "belongs to another cluster: its system identifier is {}, that of the others is {id}; it is not used; \
                 take it out of host=, or look whether its name and port are right",
                host.system_id.unwrap_or_default()
            )),
            (Verdict::Foreign, _) => Some(format!(
                "its system identifier {} is not that of the other hosts, and it cannot be told which cluster is meant; \
                 no primary until host= names the hosts of one cluster",
                host.system_id.unwrap_or_default()
            )),
            (Verdict::Deposed, _) => {
                let own = host.claim(chosen);
                let rival = self
                    .hosts
                    .iter()
                    .find(|rival| rival.addr != host.addr && rival.claim(chosen) == top);
                match (rival, &self.fence) {
                    (Some(rival), _) if own == top => Some(format!(
                        "says that it is the primary on {}, and so does {}; no writes until one of them stops (are they \
                         two names of one server?)",
                        timeline(own),
                        rival.addr
                    )),
                    (Some(rival), _) if own < top => Some(format!(
                        "was deposed: it says that it is the primary on {}, but {} is on {}",
                        timeline(own),
                        rival.addr,
                        timeline(top)
                    )),
                    (_, Some(fence)) => Some(format!(
                        "was deposed: it says that it is the primary on {}, but {} was seen on timeline {}; if that host \
                         is lost for good, take it out of host= and RELOAD",
                        timeline(own),
                        fence.by,
                        fence.timeline
                    )),
                    (_, None) => Some(format!(
                        "was deposed: it says that it is the primary on {}, but a replica follows a higher one",
                        timeline(own)
                    )),
                }
            }
            (
                Verdict::Unasked
                | Verdict::Down
                | Verdict::Undecided
                | Verdict::Primary
                | Verdict::Replica,
                _,
            ) => None,
        }
    }
}
