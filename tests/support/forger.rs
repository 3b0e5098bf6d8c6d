//! A device that forges: a report whose public share names the leader's part of the joint
//! randomness rightly and the helper's wrongly, with a proof that fits all the same.
//!
//! The leader then derives other randomness than the helper. The circuits of Prio3 multiply each
//! entry `x`, weighted by randomness, with `x - 1`; where all entries are 1 the second factor is zero
//! whatever the weights are, so there is a proof that holds for both at once. It is made here as the
//! VDAF makes its own, over what the two aggregators will see together.

use super::{device::Shares, task::Task};
use prio::{
    codec::{Decode, Encode},
    field::{Field128, FieldElement},
    flp::{
        Flp, FlpError, Gadget,
        gadgets::{Mul, ParallelSum},
        types::{Histogram, MultihotCountVec, SumVec},
    },
    vdaf::xof::{IntoFieldVec, Xof, XofTurboShake128},
};
use rand::RngExt;
use sottovoce_dap::{task::VdafConfig, time::Time, upload::vdaf_context, vdaf::shard::Measurement};
use std::{any::Any, cell::RefCell, rc::Rc};

/// A task of each VDAF with joint randomness, of which a report can be forged like that: one whose
/// entries may all be 1.
pub(crate) const FORGEABLE: [VdafConfig; 3] = [
    VdafConfig::Prio3SumVec { length: 5, max_measurement: 15, chunk_length: 4 },
    VdafConfig::Prio3Histogram { length: 1, chunk_length: 1 },
    VdafConfig::Prio3MultihotCountVec { length: 7, chunk_length: 3, max_weight: 7 },
];

/// Whose part of the joint randomness the public share names wrongly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Leaders,
    Helpers,
}

/// A forged report of one of [`FORGEABLE`].
pub(crate) fn forge(task: &Task, time: Time, wrong: Wrong) -> Shares {
    match task.configuration.vdaf {
        VdafConfig::Prio3SumVec { length, max_measurement, chunk_length } => {
            let all = vec![u128::from(max_measurement); length as usize];
            let circuit = SumVec::<_, Parallel>::new(
                max_measurement.into(),
                length as usize,
                chunk_length as usize,
            );
            Forger::new(task, 3, circuit.unwrap(), &Measurement::Vector(all), time).forge(wrong)
        }
        VdafConfig::Prio3Histogram { length, chunk_length } => {
            let circuit = Histogram::<_, Parallel>::new(length as usize, chunk_length as usize);
            Forger::new(task, 4, circuit.unwrap(), &Measurement::Bin(0), time).forge(wrong)
        }
        VdafConfig::Prio3MultihotCountVec { length, chunk_length, max_weight } => {
            let all = vec![true; length as usize];
            let weight = usize::try_from(max_weight).unwrap();
            let circuit = MultihotCountVec::<_, Parallel>::new(
                length as usize,
                weight,
                chunk_length as usize,
            );
            Forger::new(task, 5, circuit.unwrap(), &Measurement::Bits(all), time).forge(wrong)
        }
        vdaf => panic!("{} has no joint randomness", vdaf.name()),
    }
}

type Parallel = ParallelSum<Field128, Mul>;

/// An honest report, taken apart.
struct Forger<T> {
    context: Vec<u8>,
    algorithm: u32,
    circuit: T,
    shares: Shares,
}

const SEED: usize = 32;
/// Bytes of an element of the field.
const ELEMENT: usize = 16;

impl<T: Flp<Field = Field128> + 'static> Forger<T> {
    fn new(task: &Task, algorithm: u32, circuit: T, measurement: &Measurement, time: Time) -> Self {
        let shares = Shares::new(task, measurement, time);
        Self { context: vdaf_context(&task.id), algorithm, circuit, shares }
    }

    fn forge(mut self, wrong: Wrong) -> Shares {
        let parts = self.shares.public_share.as_chunks::<SEED>().0.to_vec();
        let [leaders, helpers] = parts[..] else { panic!("two parts") };
        let noise: [u8; SEED] = rand::rng().random();
        let named = match wrong {
            Wrong::Leaders => [noise, helpers],
            Wrong::Helpers => [leaders, noise],
        };
        // Each corrects its own part, and believes the other's.
        let coins = [[leaders, named[1]], [named[0], helpers]].map(|seen| self.coins(&seen));
        let input = self.circuit.input_len();
        let leader = elements(&self.shares.leader[..input * ELEMENT]);
        let helper_seed = <[u8; SEED]>::try_from(&self.shares.helper[..SEED]).unwrap();
        let helper = self.expand(&helper_seed, 1, &[1], input);
        let proof = self.prove([(leader, &coins[0]), (helper, &coins[1])]);
        let helpers_proof = self.expand(&helper_seed, 2, &[1, 1], proof.len());
        let leaders_proof = proof.iter().zip(helpers_proof).map(|(all, helpers)| *all - helpers);
        let proof = leaders_proof.flat_map(|element| element.get_encoded().unwrap());
        let end = self.shares.leader.len() - SEED;
        self.shares.leader.splice(input * ELEMENT..end, proof);
        self.shares.public_share = named.concat();
        self.shares
    }

    /// The joint randomness that follows from two parts.
    fn coins(&self, parts: &[[u8; SEED]; 2]) -> Vec<Field128> {
        let mut xof = XofTurboShake128::init(&[0; SEED], &[&self.tag(6), &self.context]);
        for part in parts {
            xof.update(part);
        }
        let seed = <[u8; SEED]>::try_from(xof.into_seed().as_ref().as_slice()).unwrap();
        self.expand(&seed, 3, &[1], self.circuit.joint_rand_len())
    }

    fn expand(&self, seed: &[u8; SEED], usage: u16, binder: &[u8], len: usize) -> Vec<Field128> {
        let tag = self.tag(usage);
        XofTurboShake128::seed_stream(seed, &[&tag, &self.context], &[binder]).into_field_vec(len)
    }

    /// The VDAF's domain separation tag (VDAF §6.2.3).
    fn tag(&self, usage: u16) -> [u8; 8] {
        let mut tag = [0; 8];
        tag[0] = VDAF_VERSION;
        tag[2..6].copy_from_slice(&self.algorithm.to_be_bytes());
        tag[6..].copy_from_slice(&usage.to_be_bytes());
        tag
    }

    fn prove(&self, seen: [(Vec<Field128>, &Vec<Field128>); 2]) -> Vec<Field128> {
        let wires = seen.map(|(share, coins)| wires(&self.circuit, &share, coins));
        let calls = wires[0].iter().zip(&wires[1]);
        let calls = calls.map(|(a, b)| a.iter().zip(b).map(|(a, b)| *a + *b).collect());
        let circuit = Seen { circuit: self.circuit.clone(), calls: calls.collect() };
        let random = |len| {
            let seed: [u8; SEED] = rand::rng().random();
            self.expand(&seed, 4, &[1], len)
        };
        let input = vec![Field128::zero(); circuit.input_len()];
        let joint = vec![Field128::zero(); circuit.joint_rand_len()];
        circuit.prove(&input, &random(circuit.prove_rand_len()), &joint).unwrap()
    }
}

const VDAF_VERSION: u8 = 18;

fn elements(bytes: &[u8]) -> Vec<Field128> {
    bytes.chunks(ELEMENT).map(|bytes| Field128::get_decoded(bytes).unwrap()).collect()
}

/// What the circuit's gadget is given, in each call, for one aggregator's share.
fn wires<T: Flp<Field = Field128>>(
    circuit: &T,
    share: &[Field128],
    coins: &[Field128],
) -> Vec<Vec<Field128>> {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let listen = |gadget: Box<dyn Gadget<Field128>>| -> Box<dyn Gadget<Field128>> {
        let (arity, times) = (gadget.arity(), gadget.calls());
        Box::new(Listening { arity, times, calls: Rc::clone(&calls) })
    };
    let mut gadgets = circuit.gadget().into_iter().map(listen).collect();
    circuit.valid(&mut gadgets, share, coins, 2).unwrap();
    drop(gadgets);
    Rc::into_inner(calls).unwrap().into_inner()
}

/// A gadget that remembers what it is given.
#[derive(Debug)]
struct Listening {
    arity: usize,
    times: usize,
    calls: Rc<RefCell<Vec<Vec<Field128>>>>,
}

impl Gadget<Field128> for Listening {
    fn eval(&mut self, inputs: &[Field128]) -> Result<Field128, FlpError> {
        self.calls.borrow_mut().push(inputs.to_vec());
        Ok(Field128::zero())
    }

    fn eval_poly(&self, _: &mut [Field128], _: &[Vec<Field128>]) -> Result<(), FlpError> {
        Ok(())
    }

    fn arity(&self) -> usize {
        self.arity
    }

    fn degree(&self) -> usize {
        2
    }

    fn calls(&self) -> usize {
        self.times
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// A circuit whose gadget is given what was seen, whatever the input is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen<T> {
    circuit: T,
    calls: Vec<Vec<Field128>>,
}

impl<T: Flp<Field = Field128>> Flp for Seen<T> {
    type Field = Field128;

    fn gadget(&self) -> Vec<Box<dyn Gadget<Field128>>> {
        self.circuit.gadget()
    }

    fn num_gadgets(&self) -> usize {
        self.circuit.num_gadgets()
    }

    fn valid(
        &self,
        gadgets: &mut Vec<Box<dyn Gadget<Field128>>>,
        _: &[Field128],
        _: &[Field128],
        _: usize,
    ) -> Result<Vec<Field128>, FlpError> {
        self.calls.iter().map(|inputs| gadgets[0].eval(inputs)).collect()
    }

    fn input_len(&self) -> usize {
        self.circuit.input_len()
    }

    fn proof_len(&self) -> usize {
        self.circuit.proof_len()
    }

    fn verifier_len(&self) -> usize {
        self.circuit.verifier_len()
    }

    fn joint_rand_len(&self) -> usize {
        self.circuit.joint_rand_len()
    }

    fn eval_output_len(&self) -> usize {
        self.circuit.eval_output_len()
    }

    fn prove_rand_len(&self) -> usize {
        self.circuit.prove_rand_len()
    }
}
