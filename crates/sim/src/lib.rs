//! Run the whole house against simulated time, network, faults and cheats.
