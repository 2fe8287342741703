//! Each table against the plainest structure that does the same.

use std::collections::HashMap;

use icomet_tables::{Arena, Slab, Texts, Turns};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is done with a table.
#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>),
    /// Of those that are there, the one with this number, counted round.
    Remove(usize),
}

fn ops(longest: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => vec(any::<u8>(), 0..longest).prop_map(Op::Insert),
        2 => any::<usize>().prop_map(Op::Remove),
    ];
    vec(op, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_arena_gives_back_what_it_took(ops in ops(3000)) {
        let mut arena = Arena::default();
        let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(bytes) => model.push((arena.insert(&bytes), bytes)),
                Op::Remove(_) if model.is_empty() => {}
                Op::Remove(which) => {
                    let (handle, bytes) = model.swap_remove(which % model.len());
                    prop_assert_eq!(arena.get(handle), &bytes[..]);
                    arena.remove(handle);
                }
            }
            for (handle, bytes) in &model {
                prop_assert_eq!(arena.get(*handle), &bytes[..]);
            }
        }
    }

    #[test]
    fn a_slab_keeps_indices(ops in ops(8)) {
        let mut slab = Slab::default();
        let mut model: HashMap<u32, Vec<u8>> = HashMap::new();
        for op in ops {
            match op {
                Op::Insert(bytes) => {
                    let index = slab.insert(bytes.clone());
                    prop_assert!(model.insert(index, bytes).is_none(), "the index is in use");
                }
                Op::Remove(_) if model.is_empty() => {}
                Op::Remove(which) => {
                    let mut indices: Vec<_> = model.keys().copied().collect();
                    indices.sort_unstable();
                    let index = indices[which % indices.len()];
                    prop_assert_eq!(slab.remove(index), model.remove(&index));
                    prop_assert_eq!(slab.get(index), None);
                    prop_assert_eq!(slab.remove(index), None);
                }
            }
            prop_assert_eq!(slab.len(), model.len());
            for (index, bytes) in &model {
                prop_assert!(*index < slab.capacity());
                prop_assert_eq!(slab.get(*index), Some(bytes));
            }
        }
    }

    #[test]
    fn texts_are_kept_once_and_as_long_as_needed(ops in ops(3)) {
        let mut texts = Texts::default();
        let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(bytes) => {
                    let handle = texts.intern(&bytes);
                    let known = model.iter().find(|(_, text)| *text == bytes);
                    prop_assert!(known.is_none_or(|(known, _)| *known == handle));
                    model.push((handle, bytes));
                }
                Op::Remove(_) if model.is_empty() => {}
                Op::Remove(which) => {
                    let (handle, _) = model.swap_remove(which % model.len());
                    texts.release(handle);
                }
            }
            for (handle, bytes) in &model {
                prop_assert_eq!(texts.get(*handle), &bytes[..]);
            }
            let mut distinct: Vec<_> = model.iter().map(|(_, text)| text).collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(texts.len(), distinct.len());
        }
    }
}

#[test]
fn an_arena_uses_freed_blocks_again() {
    let mut arena = Arena::default();
    let lengths = [0, 1, 13, 14, 15, 100, 1021, 1022, 1023, 5000];
    let mut highest = 0;
    for round in 0..100 {
        let handles = lengths.map(|len| arena.insert(&vec![round; len]));
        let top = handles.into_iter().max().unwrap();
        if round == 0 {
            highest = top;
        }
        assert!(top <= highest, "round {round} took new memory");
        for handle in handles {
            arena.remove(handle);
        }
    }
}

/// What is done with those who wait for a turn.
#[derive(Clone, Debug)]
enum Wish {
    Ready(u32),
    Next,
    Pause(u32, u64),
    Pass(u64),
    Forget(u32),
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let who = || 0..12u32;
    let wish = prop_oneof![
        4 => who().prop_map(Wish::Ready),
        4 => Just(Wish::Next),
        2 => (who(), 0..50u64).prop_map(|(who, time)| Wish::Pause(who, time)),
        2 => (0..30u64).prop_map(Wish::Pass),
        1 => who().prop_map(Wish::Forget),
    ];
    vec(wish, 1..300)
}

proptest! {
    #[test]
    fn each_stands_once_in_a_line_that_nobody_overtakes(wishes in wishes()) {
        let mut turns = Turns::default();
        let (mut line, mut paused, mut now) = (Vec::new(), HashMap::new(), 0u64);
        for wish in wishes {
            match wish {
                Wish::Ready(who) => {
                    turns.ready(who);
                    if !line.contains(&who) && !paused.contains_key(&who) {
                        line.push(who);
                    }
                }
                Wish::Next => {
                    let expected = (!line.is_empty()).then(|| line.remove(0));
                    prop_assert_eq!(turns.take(), expected);
                }
                Wish::Pause(who, time) => {
                    turns.pause(who, now + time);
                    line.retain(|other| *other != who);
                    paused.insert(who, now + time);
                }
                Wish::Pass(time) => {
                    now += time;
                    turns.wake(now);
                    let mut due: Vec<_> = paused.iter().map(|(who, at)| (*at, *who)).collect();
                    due.retain(|(at, _)| *at <= now);
                    due.sort_unstable();
                    for (_, who) in due {
                        paused.remove(&who);
                        line.push(who);
                    }
                }
                Wish::Forget(who) => {
                    turns.forget(who);
                    line.retain(|other| *other != who);
                    paused.remove(&who);
                }
            }
            prop_assert_eq!(turns.is_idle(), line.is_empty());
            prop_assert_eq!(turns.due(), paused.values().min().copied());
            for who in 0..12 {
                prop_assert_eq!(turns.is_paused(who), paused.contains_key(&who));
            }
        }
    }
}
