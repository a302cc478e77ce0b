use super::super::testing::look;
use super::*;

const POOLS: &str = "database user cl_active cl_waiting sv_active sv_idle maxwait\n\
    app ann 5 0 5 0 0\napp bob 1 3 1 1 0\nother ann 9 0 2 0 0";
const CLIENTS: &str =
    "type user database state id\nC ann app active 1\nC bob app waiting 2\nC bob app idle 3";

fn model(more: &[(Show, &str)]) -> Model {
    let mut model = Model::new("here".into());
    let answers: Vec<_> = [(Show::Pools, POOLS)].into_iter().chain(more.iter().copied()).collect();
    model.look = look(&answers);
    model
}

fn view() -> View {
    View::new(Duration::from_secs(2))
}

fn press(view: &mut View, model: &Model, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\u{1b}' => Key::Escape,
            'v' => Key::Down,
            c => Key::Char(c),
        };
        assert!(!view.key(key, model), "{c:?} is no reason to end");
    }
}

fn ids(view: &View, model: &Model, pane: Pane) -> Vec<String> {
    view.grid(model, pane).lines.into_iter().map(|line| line.id).collect()
}

#[test]
fn the_overview_has_what_the_console_has() {
    let mut view = view();
    assert_eq!(view.panes(&model(&[])), [Pane::Pools, Pane::Databases]);
    let whole =
        model(&[(Show::Topology, "database host\napp a"), (Show::Events, "time event\n1 joined")]);
    assert_eq!(view.panes(&whole), [Pane::Hosts, Pane::Pools, Pane::Events]);
    view.resized(50);
    assert_eq!(view.panes(&whole), [Pane::Hosts, Pane::Pools, Pane::Databases, Pane::Events]);
    press(&mut view, &whole, "8");
    assert_eq!(*view.page(), Page::One(Pane::Events));
    press(&mut view, &whole, "7");
    assert_eq!(*view.page(), Page::One(Pane::Events), "there are no reads to see here");
    view.key(Key::Right, &whole);
    assert_eq!(*view.page(), Page::Overview);
    view.key(Key::Left, &whole);
    assert_eq!(*view.page(), Page::One(Pane::Events));
}

#[test]
fn the_chosen_line_stays_chosen_wherever_it_goes() {
    let (mut view, model) = (view(), model(&[]));
    assert_eq!(ids(&view, &model, Pane::Pools), ["app/bob", "app/ann", "other/ann"]);
    press(&mut view, &model, "vv");
    press(&mut view, &model, "S"); // by clients
    let grid = view.grid(&model, Pane::Pools);
    assert_eq!(view.sort(Pane::Pools), Some(Sort { by: "clients", descending: true }));
    assert_eq!((view.chosen(Pane::Pools, &grid), &*grid.lines[0].id), (0, "other/ann"));
    press(&mut view, &model, "r");
    let grid = view.grid(&model, Pane::Pools);
    assert_eq!((view.chosen(Pane::Pools, &grid), &*grid.lines[2].id), (2, "other/ann"));
    press(&mut view, &model, "vvv");
    assert_eq!(view.chosen(Pane::Pools, &grid), 2, "there is nothing below the last");
}

#[test]
fn a_filter_is_typed_seen_at_once_and_taken_away_by_escape() {
    let (mut view, model) = (view(), model(&[]));
    press(&mut view, &model, "/bob");
    assert!(view.is_typing());
    assert_eq!(ids(&view, &model, Pane::Pools), ["app/bob"]);
    view.key(Key::Backspace, &model);
    press(&mut view, &model, "q\n");
    assert_eq!(view.filter(Pane::Pools), "boq");
    assert!(ids(&view, &model, Pane::Pools).is_empty() && !view.is_typing());
    press(&mut view, &model, "\u{1b}");
    assert_eq!(ids(&view, &model, Pane::Pools).len(), 3);
}

#[test]
fn a_pool_opens_to_its_clients_and_a_client_to_all_that_is_known_of_it() {
    let mut view = view();
    let mut model = model(&[]);
    press(&mut view, &model, "\n");
    assert!(matches!(view.page(), Page::Pool(name) if name.user == "bob"));
    assert!(view.needs(Show::Clients) && view.needs(Show::Servers));
    model.look = look(&[(Show::Pools, POOLS), (Show::Clients, CLIENTS)]);
    assert_eq!(ids(&view, &model, Pane::Clients), ["2", "3"]);
    press(&mut view, &model, "v\n");
    let Page::Record(record) = view.page() else { panic!("{:?}", view.page()) };
    assert_eq!(
        (record.id.as_str(), record.fields[3].clone()),
        ("3", ("state".into(), Some("idle".into())))
    );
    model.look = look(&[(Show::Clients, "type user database state id\nC bob app active 3")]);
    view.refresh(&model);
    assert!(
        matches!(view.page(), Page::Record(record) if record.fields[3].1.as_deref() == Some("active"))
    );
    model.look = look(&[(Show::Clients, "id\n4")]);
    view.refresh(&model);
    assert!(matches!(view.page(), Page::Record(record) if record.gone && record.fields.len() == 5));
    press(&mut view, &model, "\u{1b}\u{1b}\u{1b}");
    assert_eq!(*view.page(), Page::Overview);
    assert!(!view.needs(Show::Clients));
}

#[test]
fn tab_goes_through_the_panes_and_around() {
    let (mut view, model) = (view(), model(&[]));
    assert_eq!(view.focus(&model), Some(Pane::Pools));
    press(&mut view, &model, "\t");
    assert_eq!(view.focus(&model), Some(Pane::Databases));
    press(&mut view, &model, "\t");
    assert_eq!(view.focus(&model), Some(Pane::Pools));
}

#[test]
fn pace_freeze_help_and_end() {
    let (mut view, model) = (view(), model(&[]));
    press(&mut view, &model, "+p");
    assert_eq!((view.interval(), view.is_frozen()), (Duration::from_secs(5), true));
    press(&mut view, &model, "------");
    assert_eq!(view.interval(), Duration::from_millis(500));
    press(&mut view, &model, "?");
    assert!(view.is_helping());
    press(&mut view, &model, "x");
    assert!(!view.is_helping());
    assert!(view.key(Key::Char('q'), &model) && view.key(Key::Stop, &model));
}
