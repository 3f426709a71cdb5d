// first_group — matrices of experts: [frame][group of 4 rows], where experts/frames_* tells the frame of an expert. A
// part of one holds whole frames.
override groups: u32; // of an expert
override part: u32;   // groups of this part
override before: u32; // groups of the parts before it

// the first group of an expert; not below `part` if it is in another part
fn first_group(expert: u32) -> u32 { return frame_of(expert) * groups - before; }
