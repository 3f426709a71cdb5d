// group_sum, group_max and, for vec4, group_sum4, group_max4 — reductions over a workgroup by subgroup operations;
// every invocation gets the result.
// All invocations call them in uniform control flow. The subgroup size is 4 … 128: 256 invocations have at most 64
// subgroups.
// They assume that subgroups take invocations in order of lid, as every driver does; the self test detects others.
enable subgroups;

override group_size: u32 = 64u; // invocations of the workgroup, a power of two, at most 256

var<workgroup> group_part: array<f32, 64>;

fn group_sum(value: f32, lid: u32) -> f32 {
  let part = subgroupAdd(value);
  let lanes = subgroupAdd(1u); // a power of two: shifts in place of divisions
  workgroupBarrier(); // all have read the partials of the previous call
  if ((lid & (lanes - 1u)) == 0u) { group_part[lid >> countOneBits(lanes - 1u)] = part; }
  workgroupBarrier();
  var sum = group_part[0];
  for (var i = 1u; i * lanes < group_size; i++) { sum += group_part[i]; }
  return sum;
}

fn group_max(value: f32, lid: u32) -> f32 {
  let part = subgroupMax(value);
  let lanes = subgroupAdd(1u);
  workgroupBarrier();
  if ((lid & (lanes - 1u)) == 0u) { group_part[lid >> countOneBits(lanes - 1u)] = part; }
  workgroupBarrier();
  var top = group_part[0];
  for (var i = 1u; i * lanes < group_size; i++) { top = max(top, group_part[i]); }
  return top;
}

var<workgroup> group_part4: array<vec4<f32>, 64>;

fn group_sum4(value: vec4<f32>, lid: u32) -> vec4<f32> {
  let part = subgroupAdd(value);
  let lanes = subgroupAdd(1u);
  workgroupBarrier();
  if ((lid & (lanes - 1u)) == 0u) { group_part4[lid >> countOneBits(lanes - 1u)] = part; }
  workgroupBarrier();
  var sum = group_part4[0];
  for (var i = 1u; i * lanes < group_size; i++) { sum += group_part4[i]; }
  return sum;
}

fn group_max4(value: vec4<f32>, lid: u32) -> vec4<f32> {
  let part = subgroupMax(value);
  let lanes = subgroupAdd(1u);
  workgroupBarrier();
  if ((lid & (lanes - 1u)) == 0u) { group_part4[lid >> countOneBits(lanes - 1u)] = part; }
  workgroupBarrier();
  var top = group_part4[0];
  for (var i = 1u; i * lanes < group_size; i++) { top = max(top, group_part4[i]); }
  return top;
}
