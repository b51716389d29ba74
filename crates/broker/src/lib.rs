//! Carry a deal from order to settlement.
