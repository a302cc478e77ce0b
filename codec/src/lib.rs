//! PostgreSQL's frontend/backend protocol 3, without I/O: message heads, decoders, encoders.
//!
//! Bytes come in, values go out, and the other way round. Nothing in here knows a socket, a clock or a runtime. Every
//! message has a type with its tag, a `decode` of its body and an `encode`; what a pooler only passes on is told
//! apart by its [`head`] alone. Source: PostgreSQL manual, "Frontend/Backend Protocol", "Message Formats".
//!
//! | tag | frontend | backend |
//! |---|---|---|
//! | none | [`startup`]: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest | |
//! | `1` `2` `3` | | ParseComplete, BindComplete, CloseComplete |
//! | `A` | | NotificationResponse |
//! | `B` | Bind | |
//! | `C` | Close | CommandComplete |
//! | `c` `d` | CopyDone, CopyData | CopyDone, CopyData |
//! | `D` | Describe | DataRow |
//! | `E` | Execute | ErrorResponse |
//! | `F` | FunctionCall | |
//! | `f` | CopyFail | |
//! | `G` `H` `W` | | CopyInResponse, CopyOutResponse, CopyBothResponse |
//! | `H` | Flush | |
//! | `I` | | EmptyQueryResponse |
//! | `K` | | BackendKeyData |
//! | `N` | | NoticeResponse |
//! | `n` | | NoData |
//! | `P` | Parse | |
//! | `p` | PasswordMessage, SASLInitialResponse, SASLResponse | |
//! | `Q` | Query | |
//! | `R` | | Authentication… |
//! | `S` | Sync | ParameterStatus |
//! | `s` | | PortalSuspended |
//! | `T` | | RowDescription |
//! | `t` | | ParameterDescription |
//! | `V` | | FunctionCallResponse |
//! | `v` | | NegotiateProtocolVersion |
//! | `X` | Terminate | |
//! | `Z` | | ReadyForQuery |

pub mod backend;
pub mod error;
pub mod frontend;
pub mod head;
pub mod options;
mod read;
pub mod sqlstate;
pub mod startup;
mod write;
