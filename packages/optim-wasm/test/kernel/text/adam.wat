(module
  (import "env" "memory" (memory 0))
  (func $update (export "update") (param i32 i32 i32 i32 i32 f32 f32 f32 f32 f32 f32 f32 f32)
    (local v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 v128 i32 i32 i32 v128 v128 v128 v128)
    local.get 5
    f32x4.splat
    local.set 14
    local.get 6
    f32x4.splat
    local.set 17
    local.get 7
    f32x4.splat
    local.set 18
    local.get 8
    f32x4.splat
    local.set 21
    local.get 9
    f32x4.splat
    local.set 24
    local.get 10
    f32x4.splat
    local.set 27
    local.get 11
    f32x4.splat
    local.set 32
    local.get 12
    f32x4.splat
    local.set 34
    local.get 1
    local.get 4
    i32.const 2
    i32.shl
    i32.add
    local.set 39
    local.get 39
    local.get 39
    local.get 1
    i32.sub
    i32.const 63
    i32.and
    i32.sub
    local.set 40
    block
      local.get 1
      local.get 40
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load align=4
        local.set 16
        local.get 2
        v128.load align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store align=4
        local.get 2
        local.get 23
        v128.store align=4
        local.get 3
        local.get 30
        v128.store align=4
        local.get 1
        v128.load offset=16 align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load offset=16 align=4
        local.set 16
        local.get 2
        v128.load offset=16 align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load offset=16 align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store offset=16 align=4
        local.get 2
        local.get 23
        v128.store offset=16 align=4
        local.get 3
        local.get 30
        v128.store offset=16 align=4
        local.get 1
        v128.load offset=32 align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load offset=32 align=4
        local.set 16
        local.get 2
        v128.load offset=32 align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load offset=32 align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store offset=32 align=4
        local.get 2
        local.get 23
        v128.store offset=32 align=4
        local.get 3
        local.get 30
        v128.store offset=32 align=4
        local.get 1
        v128.load offset=48 align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load offset=48 align=4
        local.set 16
        local.get 2
        v128.load offset=48 align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load offset=48 align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store offset=48 align=4
        local.get 2
        local.get 23
        v128.store offset=48 align=4
        local.get 3
        local.get 30
        v128.store offset=48 align=4
        local.get 1
        i32.const 64
        i32.add
        local.set 1
        local.get 0
        i32.const 64
        i32.add
        local.set 0
        local.get 2
        i32.const 64
        i32.add
        local.set 2
        local.get 3
        i32.const 64
        i32.add
        local.set 3
        local.get 1
        local.get 40
        i32.lt_u
        br_if 0
      end
    end
    local.get 39
    local.get 39
    local.get 1
    i32.sub
    i32.const 15
    i32.and
    i32.sub
    local.set 40
    block
      local.get 1
      local.get 40
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load align=4
        local.set 16
        local.get 2
        v128.load align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store align=4
        local.get 2
        local.get 23
        v128.store align=4
        local.get 3
        local.get 30
        v128.store align=4
        local.get 1
        i32.const 16
        i32.add
        local.set 1
        local.get 0
        i32.const 16
        i32.add
        local.set 0
        local.get 2
        i32.const 16
        i32.add
        local.set 2
        local.get 3
        i32.const 16
        i32.add
        local.set 3
        local.get 1
        local.get 40
        i32.lt_u
        br_if 0
      end
    end
    block
      local.get 1
      local.get 39
      i32.ge_u
      br_if 0
      loop
        local.get 1
        v128.load32_splat align=4
        local.set 13
        local.get 13
        local.get 14
        f32x4.mul
        local.set 15
        local.get 0
        v128.load32_splat align=4
        local.set 16
        local.get 2
        v128.load32_splat align=4
        local.set 19
        local.get 18
        local.get 19
        f32x4.mul
        local.set 20
        local.get 21
        local.get 15
        f32x4.mul
        local.set 22
        local.get 20
        local.get 22
        f32x4.add
        local.set 23
        local.get 3
        v128.load32_splat align=4
        local.set 25
        local.get 24
        local.get 25
        f32x4.mul
        local.set 26
        local.get 15
        local.get 15
        f32x4.mul
        local.set 28
        local.get 27
        local.get 28
        f32x4.mul
        local.set 29
        local.get 26
        local.get 29
        f32x4.add
        local.set 30
        local.get 30
        f32x4.sqrt
        local.set 31
        local.get 31
        local.get 32
        f32x4.mul
        local.set 33
        local.get 33
        local.get 34
        f32x4.add
        local.set 35
        local.get 23
        local.get 35
        f32x4.div
        local.set 36
        local.get 17
        local.get 36
        f32x4.mul
        local.set 37
        local.get 16
        local.get 37
        f32x4.sub
        local.set 38
        local.get 0
        local.get 38
        v128.store32_lane align=4 0
        local.get 2
        local.get 23
        v128.store32_lane align=4 0
        local.get 3
        local.get 30
        v128.store32_lane align=4 0
        local.get 1
        i32.const 4
        i32.add
        local.set 1
        local.get 0
        i32.const 4
        i32.add
        local.set 0
        local.get 2
        i32.const 4
        i32.add
        local.set 2
        local.get 3
        i32.const 4
        i32.add
        local.set 3
        local.get 1
        local.get 39
        i32.lt_u
        br_if 0
      end
    end
  )
)
