-- Health of Tenants, TenantClasses and SchemaRollouts for Argo CD, which does not evaluate their conditions without it.
local function find(conditions, type)
  for _, condition in ipairs(conditions or {}) do
    if condition.type == type then
      return condition
    end
  end
end

local function is_true(condition)
  return condition ~= nil and condition.status == "True"
end

local function health(status, condition, fallback)
  local message = fallback
  if condition ~= nil and condition.message ~= nil and condition.message ~= "" then
    message = condition.message
  end
  return { status = status, message = message }
end

local status = obj.status or {}
local stalled = find(status.conditions, "Stalled")
local ready = find(status.conditions, "Ready")

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", ready, "Waiting for the deletion")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", nil, "Waiting for the controller to observe the latest spec")
end
if is_true(stalled) then
  return health("Degraded", stalled, "Stalled")
end
if is_true(find(status.conditions, "DeletionsHeld")) then
  return health("Degraded", find(status.conditions, "DeletionsHeld"), "Deletions wait for a confirmation")
end
local suspended = find(status.conditions, "Suspended")
if is_true(suspended) then
  return health("Suspended", suspended, "Suspended")
end
if is_true(ready) then
  return health("Healthy", ready, "Ready")
end
return health("Progressing", ready, "Waiting for the controller")
