(module
  (import "env" "memory" (memory 0))
  (func $update (export "update") (param i32 i32 i32 f32 f32)
    (local v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 v128 v128 v128 v128)
    local.get 3
    f32x4.splat
    local.set 6
    local.get 4
    f32x4.splat
    local.set 9
    local.get 1
    local.get 2
    i32.const 2
    i32.shl
    i32.add
    local.set 12
    local.get 12
    local.get 12
    local.get 1
    i32.sub
    i32.const 63
    i32.and
    i32.sub
    local.set 13
    block
      local.get 1
      local.get 13
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store align=4
        local.get 1
        v128.load offset=16 align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load offset=16 align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store offset=16 align=4
        local.get 1
        v128.load offset=32 align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load offset=32 align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store offset=32 align=4
        local.get 1
        v128.load offset=48 align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load offset=48 align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store offset=48 align=4
        local.get 1
        i32.const 64
        i32.add
        local.set 1
        local.get 0
        i32.const 64
        i32.add
        local.set 0
        local.get 1
        local.get 13
        i32.lt_u
        br_if 0
      end
    end
    local.get 12
    local.get 12
    local.get 1
    i32.sub
    i32.const 15
    i32.and
    i32.sub
    local.set 13
    block
      local.get 1
      local.get 13
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store align=4
        local.get 1
        i32.const 16
        i32.add
        local.set 1
        local.get 0
        i32.const 16
        i32.add
        local.set 0
        local.get 1
        local.get 13
        i32.lt_u
        br_if 0
      end
    end
    block
      local.get 1
      local.get 12
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load32_splat align=4
        local.set 5
        local.get 5
        local.get 6
        f32x4.mul
        local.set 7
        local.get 0
        v128.load32_splat align=4
        local.set 8
        local.get 9
        local.get 7
        f32x4.mul
        local.set 10
        local.get 8
        local.get 10
        f32x4.sub
        local.set 11
        local.get 0
        local.get 11
        v128.store32_lane align=4 0
        local.get 1
        i32.const 4
        i32.add
        local.set 1
        local.get 0
        i32.const 4
        i32.add
        local.set 0
        local.get 1
        local.get 12
        i32.lt_u
        br_if 0
      end
    end
  )
)
