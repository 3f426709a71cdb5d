// group_sum, group_max and, for vec4, group_sum4, group_max4 — reductions over a workgroup through workgroup memory;
// every invocation gets the result.
// All invocations call them in uniform control flow. For devices without subgroups, in place of reduce_subgroup.
override group_size: u32 = 64u; // invocations of the workgroup, a power of two, at most 256

var<workgroup> group_part: array<f32, 256>;

fn group_sum(value: f32, lid: u32) -> f32 {
  workgroupBarrier(); // all have read the result of the previous call
  group_part[lid] = value;
  workgroupBarrier();
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid < half) { group_part[lid] += group_part[lid + half]; }
    workgroupBarrier();
  }
  return group_part[0];
}

fn group_max(value: f32, lid: u32) -> f32 {
  workgroupBarrier();
  group_part[lid] = value;
  workgroupBarrier();
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid < half) { group_part[lid] = max(group_part[lid], group_part[lid + half]); }
    workgroupBarrier();
  }
  return group_part[0];
}

var<workgroup> group_part4: array<vec4<f32>, 256>;

fn group_sum4(value: vec4<f32>, lid: u32) -> vec4<f32> {
  workgroupBarrier();
  group_part4[lid] = value;
  workgroupBarrier();
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid < half) { group_part4[lid] += group_part4[lid + half]; }
    workgroupBarrier();
  }
  return group_part4[0];
}

fn group_max4(value: vec4<f32>, lid: u32) -> vec4<f32> {
  workgroupBarrier();
  group_part4[lid] = value;
  workgroupBarrier();
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid < half) { group_part4[lid] = max(group_part4[lid], group_part4[lid + half]); }
    workgroupBarrier();
  }
  return group_part4[0];
}
