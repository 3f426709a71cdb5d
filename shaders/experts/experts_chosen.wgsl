// group_of — the first group of the token's expert in a slot; not below `part` if it is in another part
// chosen [2·top] f32: numbers of experts, then their weights (select_experts.wgsl)
override E: u32;
override top: u32;

@group(0) @binding(0) var<storage, read> chosen: array<f32>;

fn group_of(slot: u32) -> u32 { return first_group(min(u32(max(chosen[slot], 0.0)), E - 1u)); }
