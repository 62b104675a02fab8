//! The one source of chance of a run: seeded, so that a seed replays on every platform; recorded, so that a run can be
//! made smaller; or scripted, so that every outcome can be visited in turn.

/// Where choices come from.
#[derive(Debug, Clone)]
pub(crate) enum Rng {
    /// SplitMix64.
    Seeded(u64),
    /// These choices, then by SplitMix64; what was chosen is noted. The first of each is the harmless one.
    Recorded { state: u64, given: Vec<u32>, made: Vec<u32> },
    /// These choices, then the first of each; what was chosen, and of how many, is noted.
    Scripted { choices: Vec<usize>, trail: Vec<(usize, usize)> },
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self::Seeded(seed)
    }

    pub(crate) fn scripted(choices: Vec<usize>) -> Self {
        Self::Scripted { choices, trail: Vec::new() }
    }

    pub(crate) fn recorded(seed: u64, given: Vec<u32>) -> Self {
        Self::Recorded { state: seed, given, made: Vec::new() }
    }

    /// What a recorded run has chosen.
    pub(crate) fn choices(&self) -> &[u32] {
        if let Self::Recorded { made, .. } = self { made } else { &[] }
    }

    /// The script that visits the next outcome, if there is one.
    pub(crate) fn next_script(&self) -> Option<Vec<usize>> {
        let Self::Scripted { trail, .. } = self else { return None };
        let last = trail.iter().rposition(|(choice, of)| choice + 1 < *of)?;
        let mut choices: Vec<usize> = trail[..=last].iter().map(|(choice, _)| *choice).collect();
        choices[last] += 1;
        Some(choices)
    }

    /// Whether the seed is one in so many; before anything is drawn. Draws nothing, so that it tells worlds apart and
    /// changes none. Never in a script.
    pub(crate) fn first_is_one_in(&self, of: u64) -> bool {
        match self {
            Self::Seeded(seed) | Self::Recorded { state: seed, .. } => seed % of == of - 1,
            Self::Scripted { .. } => false,
        }
    }

    fn choose(&mut self, of: usize) -> usize {
        match self {
            Self::Seeded(state) => drawn(state, of),
            Self::Recorded { state, given, made } => {
                let fresh = drawn(state, of);
                note(given, made, fresh, of)
            }
            Self::Scripted { choices, trail } => {
                let choice = choices.get(trail.len()).copied().unwrap_or(0);
                trail.push((choice, of));
                choice
            }
        }
    }

    /// One of `[0, bound)`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound <= 1 { 0 } else { self.choose(bound) }
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = usize::try_from(high - low + 1).expect("small");
        low + u64::try_from(self.below(span)).expect("usize fits into u64")
    }

    /// True so many times in a hundred; a script visits both.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        match self {
            _ if chance == 0 => false,
            _ if chance >= 100 => true,
            Self::Seeded(_) => self.choose(100) < index(chance),
            Self::Recorded { state, given, made } => {
                // Noted from its other end: what is not chosen must not happen.
                let fresh = 99 - drawn(state, 100);
                99 - note(given, made, fresh, 100) < index(chance)
            }
            Self::Scripted { .. } => self.choose(2) == 1,
        }
    }

    /// The random half of a claim. `order` is where a script puts it among claims of the same rank.
    pub(crate) fn bits(&mut self, order: u64) -> u64 {
        match self {
            Self::Seeded(state) | Self::Recorded { state, .. } => next(state),
            Self::Scripted { .. } => order,
        }
    }
}

/// What a recorded run chooses of so many: what was given, as long as that lasts, then what was drawn.
fn note(given: &[u32], made: &mut Vec<u32>, fresh: usize, of: usize) -> usize {
    let choice = given.get(made.len()).map_or(fresh, |choice| index(*choice).min(of - 1));
    made.push(u32::try_from(choice).expect("few possibilities"));
    choice
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mix(*state)
}

/// The bias is far below what a simulation could notice.
fn drawn(state: &mut u64, of: usize) -> usize {
    index(next(state) % u64::try_from(of).expect("usize fits into u64"))
}

fn index<N: TryInto<usize>>(number: N) -> usize {
    number.try_into().unwrap_or_else(|_| panic!("a small number"))
}

/// A hash: what a record is must depend on nothing but its identity.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
